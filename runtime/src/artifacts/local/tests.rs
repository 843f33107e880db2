//! What the local store promises.

mod basics;
mod damage;
mod fixture;
mod lookups;
mod processes;
mod work_requests;
