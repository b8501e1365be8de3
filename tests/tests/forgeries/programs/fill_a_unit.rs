//! Units are filled by the session machine only.
use gateway_core::passage::unit::Unit; //~ E0603: module `unit` is private

fn main() {
    let mut unit = Unit::new();
    unit.push(b"anything");
}
