//! Files: token files, permissions, what is not readable, the configuration's identity.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use ironmaster_config::{check, load};
use sha2::{Digest, Sha256};

use crate::catalogue::catalogue;

const CONFIG: &str = r#"
[[worker]]
name = "w"
token_file = "w.token"

[[builder]]
name = "b"
workers = ["w"]
[[builder.step]]
type = "shell"
command = "true"

[[scheduler]]
name = "force"
type = "force"
builders = ["b"]
"#;

fn write(dir: &Path, token: &str, mode: u32) -> std::path::PathBuf {
    fs::write(dir.join("w.token"), token).unwrap();
    fs::set_permissions(dir.join("w.token"), fs::Permissions::from_mode(mode)).unwrap();
    let path = dir.join("ironmaster.toml");
    fs::write(&path, CONFIG).unwrap();
    path
}

#[test]
fn a_token_file_is_read_and_only_its_hash_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a-very-secret-token-1\n", 0o600);
    let loaded = load(&path, &catalogue()).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(
        loaded.plan.workers["w"].token_sha256,
        hex::encode(Sha256::digest("a-very-secret-token-1"))
    );
    assert!(!format!("{loaded:?}").contains("a-very-secret"));
    assert_eq!(loaded.settings.state_dir, dir.path().join("state"));
}

#[test]
fn a_token_file_that_all_can_read_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a-very-secret-token-1\n", 0o644);
    let loaded = load(&path, &catalogue()).unwrap();
    assert_eq!(loaded.warnings.findings[0].code, "token_readable");
}

#[test]
fn bad_token_files_are_errors() {
    for (token, code) in [
        (String::new(), "bad_token"),
        ("two words of it".to_owned(), "bad_token"),
        ("x".repeat(257), "bad_token"),
        ("x".repeat(100_000), "bad_token"),
        ("töken-with-umlaut".to_owned(), "bad_token"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &token, 0o600);
        let report = load(&path, &catalogue()).unwrap_err();
        assert_eq!(report.findings[0].code, code, "{report}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "x", 0o600);
    fs::remove_file(dir.path().join("w.token")).unwrap();
    let report = load(&path, &catalogue()).unwrap_err();
    assert_eq!(report.findings[0].code, "token_file", "{report}");
}

#[test]
fn the_identity_follows_contents_and_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a-very-secret-token-1\n", 0o600);
    let digest = || load(&path, &catalogue()).unwrap().plan.digest;
    let first = digest();
    assert_eq!(first.len(), 64);
    assert_eq!(first, digest());
    fs::write(dir.path().join("w.token"), "a-very-secret-token-2\n").unwrap();
    let second = digest();
    assert_ne!(first, second);
    fs::write(&path, format!("{CONFIG}\n# note\n")).unwrap();
    assert_ne!(second, digest());
    // Where the file is does not matter, nor where its token is written.
    let (here, _) = check("x/ironmaster.toml", CONFIG, dir.path(), &catalogue());
    let (there, _) = check("/y/ironmaster.toml", CONFIG, dir.path(), &catalogue());
    assert_eq!(here.unwrap().plan.digest, there.unwrap().plan.digest);
}

#[test]
fn files_that_cannot_be_read_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let report = load(&dir.path().join("none.toml"), &catalogue()).unwrap_err();
    assert!(report.to_string().contains("none.toml"), "{report}");
    let path = dir.path().join("latin1.toml");
    fs::write(&path, b"# a\n# \xe4\n").unwrap();
    let report = load(&path, &catalogue()).unwrap_err();
    assert!(report.to_string().contains("line 2"), "{report}");
}

#[test]
fn files_for_encryption_are_beside_the_configuration_and_the_key_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "a-very-secret-token-1\n", 0o600);
    let listeners = "[master]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n\
                     [pb]\nlisten = \"127.0.0.1:9989\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    fs::write(&path, format!("{listeners}{CONFIG}")).unwrap();
    for name in ["c.pem", "k.pem"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let key = dir.path().join("k.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let loaded = load(&path, &catalogue()).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let pb = loaded.settings.pb.clone().unwrap();
    assert_eq!(pb.tls, loaded.settings.tls);
    assert_eq!(pb.tls.unwrap().key, key);
    assert_eq!(loaded.settings.url, "https://127.0.0.1:8010/");

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let loaded = load(&path, &catalogue()).unwrap();
    let codes: Vec<_> = loaded
        .warnings
        .findings
        .iter()
        .map(|finding| finding.code)
        .collect();
    assert_eq!(codes, ["key_readable", "key_readable"]);

    // A port without encryption beside it, which makes no sense alone.
    let two = format!("{listeners}plain_listen = \"127.0.0.1:9990\"\n{CONFIG}");
    fs::write(&path, &two).unwrap();
    let pb = load(&path, &catalogue()).unwrap().settings.pb.unwrap();
    assert_eq!(pb.plain_listen, Some(([127, 0, 0, 1], 9990).into()));
    let alone = two
        .replacen("certificate = ", "", 2)
        .replacen("\"c.pem\"\nkey = \"k.pem\"\n", "", 2);
    fs::write(&path, alone).unwrap();
    let report = load(&path, &catalogue()).unwrap_err().to_string();
    assert!(
        report.contains("has a `plain_listen`, and no `certificate`"),
        "{report}"
    );

    fs::write(
        &path,
        format!("{}{CONFIG}", listeners.replace("k.pem", "none.pem")),
    )
    .unwrap();
    let report = load(&path, &catalogue()).unwrap_err().to_string();
    assert!(report.contains("cannot read the key file `none.pem`"), "{report}");
}
