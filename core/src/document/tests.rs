//! Claims about documents.
