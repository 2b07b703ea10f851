//! Written next.
mod common;
fn main() {
    common::run(&[], vec![]);
}
