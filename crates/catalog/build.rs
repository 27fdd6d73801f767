//! Rebuilds the crate when a migration changes: migrations are embedded, and cargo watches source files alone.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
