//! The file formats of Debian that tasks read and write.

pub mod changes;
pub mod deb;
pub mod deb822;
pub mod dsc;
pub mod field_map;
pub mod read_at;
pub mod text;
pub mod uploads;
