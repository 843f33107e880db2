//! The file formats of Debian that tasks read and write.

pub mod changelog;
pub mod changes;
pub mod compression;
pub mod deb;
pub mod deb822;
pub mod dose3;
pub mod dsc;
pub mod field_map;
pub mod merge;
pub mod os_release;
pub mod package_name;
pub mod read_at;
pub mod text;
pub mod uploads;
pub mod version;
mod yaml;
