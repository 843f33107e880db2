//! The command line as its users meet it: the program is started, and judged by what it prints, how it ends and what it leaves.

mod artifacts;
mod bad_input;
mod farm;
mod help;
mod images;
mod machine;
mod runs;
mod scheduling;
