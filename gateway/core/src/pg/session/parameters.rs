//! Bound values, as they go on record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tallyport_schemas::{Parameter, ParameterValue};

/// Longer parameter values are recorded by their digest.
const PARAMETER_RECORDED_BYTES: usize = 4 * 1024;

/// What the record of a command says of one bound value.
pub(super) fn record(format: i16, value: Option<&[u8]>) -> Parameter {
    let Some(value) = value else { return Parameter { bytes: 0, value: ParameterValue::Null } };
    let recorded = if value.len() > PARAMETER_RECORDED_BYTES {
        ParameterValue::Sha256(hex::encode(Sha256::digest(value)))
    } else {
        match std::str::from_utf8(value) {
            Ok(text) if format == 0 => ParameterValue::Text(text.to_owned()),
            _ => ParameterValue::Base64(STANDARD.encode(value)),
        }
    };
    Parameter { bytes: value.len() as u64, value: recorded }
}
