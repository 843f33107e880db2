//! Every task for real: a store of its own, real packages of this machine's mirror, real tools.
//!
//! What one run makes, others work on: a system is bootstrapped once, a package is built once. Tests are processes of their own, so
//! what is made lies in a directory that all of them share (see [`farm`]), and the first to need a thing makes it ([`materials`]).

mod analyses;
mod builds;
mod farm;
mod installations;
mod materials;
mod signatures;
mod systems;
mod uploads;
