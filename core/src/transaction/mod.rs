//! The transaction room.
