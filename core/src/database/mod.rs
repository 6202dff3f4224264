//! The database room.
