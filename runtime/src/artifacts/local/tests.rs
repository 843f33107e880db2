//! What the local store promises.

mod basics;
mod fixture;
