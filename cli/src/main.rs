//! The `blockdb` command.

fn main() {}
