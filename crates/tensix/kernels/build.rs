//! Each program starts where its core starts after reset.

fn main() {
    for program in ["matrix", "reader"] {
        println!(
            "cargo::rustc-link-arg-bin={program}=-T{}/{program}.ld",
            std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")
        );
    }
    println!("cargo::rerun-if-changed=matrix.ld");
    println!("cargo::rerun-if-changed=reader.ld");
}
