//! What a collection is, apart from its data: its id, its name, its settings, its schema, and the
//! documents of the system collection that create, configure and drop it.
//!
//! ```text
//!   create/configure/drop ──► Descriptor ──► record of `_system` (key collection/<uuid>)
//!                                 │               its newest revision is the truth
//!                                 └────► metadata.toml, collections.toml (rendered, for people)
//! ```
//!
//! Every administrative act appends the collection's whole descriptor as the next revision of one
//! key, so the newest revision tells the state and the history tells how it came about. Names are
//! unique among live collections; ids are never used twice.

pub mod descriptor;
pub mod id;
pub mod index;
pub mod name;
pub mod query;
pub mod render;
pub mod schema;
pub mod settings;

pub use descriptor::{Descriptor, Status};
pub use id::CollectionId;
pub use index::{IndexDescriptor, IndexState};
pub use schema::Schema;
pub use settings::{CollectionOptions, Settings};

/// The system collection's name; readable like any, written by administrative acts alone.
pub const SYSTEM_NAME: &str = "_system";
/// The collection that writes go to when no name is given.
pub const DEFAULT_NAME: &str = "default";
