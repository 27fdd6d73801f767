//! Rebuilds the crate when the contract changes: cargo watches source files alone.

fn main() {
    println!("cargo:rerun-if-changed=../../wit");
}
