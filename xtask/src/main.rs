//! The one door of the project.

fn main() {}
