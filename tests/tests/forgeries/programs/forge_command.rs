//! Bytes do not become a Command by themselves.
use gateway_core::passage::Command;

fn main() {
    let _command = Command { bytes: Vec::from("DROP TABLE x").into() }; //~ E0451: field `bytes` of struct
}
