//! How the program is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The tables of a program of this size hold 40,000 addresses, which every start relocates: packed they are a tenth of the pages to read.
    // A linker that does not know the option ignores it; Debian 12's C library reads the format.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
