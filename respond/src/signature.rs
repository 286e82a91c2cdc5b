//! Signatures of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, by one or two secrets.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks>, "Signature scheme".

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The key of a `whsec_…` secret, 24 to 64 bytes.
#[derive(Clone)]
pub(crate) struct SigningKey(Zeroizing<Vec<u8>>);

/// The secret is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not hold a webhook secret: `whsec_` and the base64 of 24 to 64 random bytes")]
pub(crate) struct InvalidKey;

impl SigningKey {
    /// Reads `whsec_` and base64 of 24 to 64 bytes.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidKey> {
        let encoded = text.strip_prefix("whsec_").ok_or(InvalidKey)?;
        let key = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| InvalidKey)?);
        if (24..=64).contains(&key.len()) { Ok(Self(key)) } else { Err(InvalidKey) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// The `webhook-signature` header: one signature for each key, separated by spaces.
/// `timestamp` is the time of the attempt in seconds since 1970.
pub(crate) fn sign(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures = keys.iter().map(|key| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn specification_example() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let signature =
            sign(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn keys_have_a_prefix_and_a_length() {
        let encoded = |bytes| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (bytes, good) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(SigningKey::parse(&encoded(bytes)).is_ok(), good, "{bytes} bytes");
        }
        for wrong in ["", "whsec_", "whsec_!!!", &encoded(32)[6..]] {
            assert!(SigningKey::parse(wrong).is_err(), "{wrong}");
        }
        let key = SigningKey::parse(&encoded(32)).expect("a key");
        assert_eq!(format!("{key:?}"), "<secret>");
    }
}
