//! Tells cargo what else the crate is made of: migrations are embedded, and a new one is no change of any source file.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=wit");
}
