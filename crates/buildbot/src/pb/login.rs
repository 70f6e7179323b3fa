//! Challenge and response: proof of a password that does not show it.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// What the server asks with: bytes that nobody can foresee. They come from the owner, as this room knows no chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge(pub [u8; 16]);

/// The MD5 of a password, which is all that this protocol needs of it. It is as good as the password: keep it secret.
#[derive(Clone, Copy)]
pub struct PasswordDigest([u8; 16]);

/// What the client answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response(pub(crate) Vec<u8>);

impl PasswordDigest {
    /// Of a password.
    pub fn of(password: &str) -> Self {
        Self(Md5::digest(password.as_bytes()).into())
    }

    /// That was computed before.
    pub const fn from_md5(md5: [u8; 16]) -> Self {
        Self(md5)
    }

    /// Proves to know the password.
    pub fn respond(&self, challenge: &[u8]) -> Response {
        let mut md5 = Md5::new();
        md5.update(self.0);
        md5.update(challenge);
        Response(md5.finalize().to_vec())
    }
}

impl std::fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordDigest(…)")
    }
}

impl Response {
    /// Whether whoever answered knows the password. Takes the same time whatever is wrong.
    pub fn proves(&self, password: &PasswordDigest, challenge: Challenge) -> bool {
        password.respond(&challenge.0).0.ct_eq(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_vector() {
        let challenge = Challenge(std::array::from_fn(|index| index as u8));
        let password = PasswordDigest::of("pass-pb");
        let response = password.respond(&challenge.0);
        let hex: String = response.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "1ea74a0060c0ba06ff7b334c01137e4b");
        assert!(response.proves(&password, challenge));
        assert!(!response.proves(&PasswordDigest::of("other"), challenge));
        assert!(!Response(Vec::new()).proves(&password, challenge));
    }

    #[test]
    fn a_digest_is_not_shown() {
        assert_eq!(format!("{:?}", PasswordDigest::of("secret")), "PasswordDigest(…)");
    }
}
