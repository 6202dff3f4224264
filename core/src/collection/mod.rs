//! The collection room.
