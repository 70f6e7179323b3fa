//! Both sides against each other, in memory and over loopback: what they exchange, and what each says when it does not come to that.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
};

use ironmaster_tls::{Client, Identity, TlsError, Trust};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/certificates")
        .join(name)
}

fn identity(certificate: &str, key: &str) -> Result<Identity, String> {
    Identity::load(&file(certificate), &file(key)).map_err(|error| error.in_full())
}

fn client(host: &str, trust: &Trust) -> Client {
    Client::new(host, trust).expect("it can be trusted")
}

fn authority() -> Trust {
    Trust::File(file("authority.pem"))
}

fn in_full<T>(result: Result<T, TlsError>) -> Result<T, String> {
    result.map_err(|error| error.in_full())
}

/// What both say of a connection; a good one has carried a word each way.
async fn meet(client: &Client, identity: &Identity) -> (Result<(), String>, Result<(), String>) {
    let (near, far) = duplex(4096);
    let connecting = async {
        let mut stream = in_full(client.connect(near).await)?;
        let mut word = [0; 5];
        let spoken = async {
            stream.write_all(b"hello").await?;
            stream.flush().await?;
            stream.read_exact(&mut word).await?;
            stream.shutdown().await
        };
        spoken.await.map_err(|error| error.to_string())?;
        assert_eq!(&word, b"olleh");
        Ok(())
    };
    let accepting = async {
        let mut stream = in_full(identity.accept(far).await)?;
        let mut word = [0; 5];
        let spoken = async {
            stream.read_exact(&mut word).await?;
            word.reverse();
            stream.write_all(&word).await?;
            stream.flush().await?;
            stream.read_to_end(&mut Vec::new()).await
        };
        spoken.await.map(drop).map_err(|error| error.to_string())
    };
    tokio::join!(connecting, accepting)
}

#[tokio::test]
async fn who_is_trusted_is_spoken_with() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let put = |from: &str, to: &str| fs::copy(file(from), folder.path().join(to)).expect("it is ours");
    put("authority.pem", "a.PEM");
    put("selfsigned.pem", "b.pem");
    put("server.key", "key.pem");
    for (certificate, key, trust) in [
        ("server.pem", "server.key", authority()),
        ("rsa.pem", "rsa.key", authority()),
        (
            "selfsigned.pem",
            "server.key",
            Trust::File(file("selfsigned.pem")),
        ),
        (
            "selfsigned.pem",
            "server.key",
            Trust::Folder(folder.path().to_owned()),
        ),
        (
            "server.pem",
            "server.key",
            Trust::Folder(folder.path().to_owned()),
        ),
    ] {
        let identity = identity(certificate, key).expect("it can be used");
        for host in ["localhost", "127.0.0.1"] {
            let met = meet(&client(host, &trust), &identity).await;
            assert_eq!(met, (Ok(()), Ok(())), "{certificate}, {host}, {trust:?}");
        }
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_told_apart() {
    let strange = Trust::File(file("selfsigned.pem"));
    for (certificate, key, host, trust, said) in [
        (
            "server.pem",
            "server.key",
            "localhost",
            strange,
            "not signed by any of those in",
        ),
        (
            "elsewhere.pem",
            "server.key",
            "localhost",
            authority(),
            "is for elsewhere.example.org, and not for localhost",
        ),
        (
            "server.pem",
            "server.key",
            "127.0.0.2",
            authority(),
            "localhost, 127.0.0.1, and not for 127.0.0.2",
        ),
        (
            "expired.pem",
            "server.key",
            "localhost",
            authority(),
            " days ago; have it renewed",
        ),
        (
            "early.pem",
            "server.key",
            "localhost",
            authority(),
            " days from now; is the clock",
        ),
        (
            "authority.pem",
            "authority.key",
            "localhost",
            authority(),
            "CA:FALSE",
        ),
    ] {
        let identity = identity(certificate, key).expect("it can be used");
        let (client_said, listener_said) = meet(&client(host, &trust), &identity).await;
        let client_said = client_said.expect_err("it is not trusted");
        assert!(client_said.contains(said), "{certificate}: {client_said}");
        let listener_said = listener_said.expect_err("it is not trusted");
        assert!(
            listener_said.contains("does not trust the certificate") || certificate == "authority.pem",
            "{certificate}: {listener_said}"
        );
    }
}

#[tokio::test]
async fn who_speaks_something_else_is_told_so() {
    let identity = identity("server.pem", "server.key").expect("it can be used");
    let (mut near, far) = duplex(4096);
    near.write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("memory takes it");
    let said = in_full(identity.accept(far).await).expect_err("that is not TLS");
    assert!(said.contains("not TLS"), "{said}");

    let (near, far) = duplex(4096);
    drop(near);
    let said = in_full(identity.accept(far).await).expect_err("nobody is there");
    assert!(said.contains("closed the connection"), "{said}");

    let client = client("localhost", &authority());
    for (answer, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "does not speak TLS"),
        (b"", "closed during the TLS handshake"),
    ] {
        let (near, mut far) = duplex(4096);
        far.write_all(answer).await.expect("memory takes it");
        far.shutdown().await.expect("it can be closed");
        let said = in_full(client.connect(near).await).expect_err("that is not TLS");
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_counts_for_the_next_connection() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [certificate, key] = ["c", "k"].map(|name| folder.path().join(name));
    let put = |from: &str, to: &Path| fs::copy(file(from), to).expect("it is ours");
    put("expired.pem", &certificate);
    put("server.key", &key);
    let identity = Identity::load(&certificate, &key).expect("it can be used");
    let client = client("localhost", &authority());
    assert!(meet(&client, &identity).await.0.is_err());

    put("rsa.pem", &certificate);
    let said = in_full(identity.renew()).expect_err("the key is another's");
    assert!(said.contains("not the key of the certificate"), "{said}");
    assert!(meet(&client, &identity).await.0.is_err(), "nothing has changed");

    put("rsa.key", &key);
    in_full(identity.renew()).expect("it can be used");
    assert_eq!(meet(&client, &identity).await, (Ok(()), Ok(())));
}

#[test]
fn connections_that_block_are_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it has one");
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let identity = identity("server.pem", "server.key").expect("it can be used");
        runtime.block_on(async {
            for good in [true, false] {
                let (stream, _) = listener.accept().expect("somebody comes");
                stream.set_nonblocking(true).expect("the system can");
                let stream = tokio::net::TcpStream::from_std(stream).expect("it is a stream");
                let accepted = identity.accept(stream).await;
                assert_eq!(accepted.is_ok(), good);
                if let Ok(mut stream) = accepted {
                    stream.write_all(b"well met").await.expect("it is there");
                    stream.shutdown().await.expect("it is there");
                }
            }
        });
    });
    let connect = || TcpStream::connect(address).expect("it listens");
    let mut stream = client("localhost", &authority())
        .connect_blocking(connect())
        .expect("it is trusted");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it says something");
    assert_eq!(said, "well met");
    stream.flush().expect("there is nothing more");
    let other = client("elsewhere.example.org", &authority()).connect_blocking(connect());
    assert!(
        other
            .expect_err("it is another")
            .to_string()
            .contains("and not for elsewhere")
    );
    serving.join().expect("it has ended well");
}

#[test]
fn files_that_are_no_use_say_why() {
    for (certificate, key, said) in [
        ("none.pem", "server.key", "none.pem: No such file"),
        ("server.key", "server.key", "server.key: there is no certificate"),
        ("server.pem", "server.pem", "server.pem: there is no private key"),
        ("server.pem", "locked.key", "passphrase"),
        (
            "server.pem",
            "authority.key",
            "authority.key: this is not the key of the certificate in",
        ),
        ("make.py", "server.key", "there is no certificate"),
    ] {
        let problem = identity(certificate, key).expect_err("it is no use");
        assert!(problem.contains(said), "{certificate}, {key}: {problem}");
        assert!(!problem.contains("MIG"), "a key is shown");
    }
    let damaged = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = fs::read_to_string(file("server.pem")).expect("it is ours");
    for (text, said) in [
        (text.replace("-----END", "-----EN"), "damaged"),
        (text.replace("MII", "AAA"), "damaged"),
    ] {
        fs::write(damaged.path(), text).expect("it is ours");
        let problem = in_full(Identity::load(damaged.path(), &file("server.key"))).expect_err("damaged");
        assert!(problem.contains(said), "{problem}");
        let problem = in_full(Client::new("localhost", &Trust::File(damaged.path().to_owned())));
        let problem = problem.expect_err("damaged");
        assert!(problem.contains(said), "{problem}");
    }
    let empty = tempfile::tempdir().expect("a temporary directory");
    for (trust, said) in [
        (Trust::Folder(empty.path().to_owned()), "whose name ends in .pem"),
        (Trust::Folder(empty.path().join("none")), "cannot read"),
        (Trust::File(file("server.key")), "there is no certificate"),
    ] {
        let problem = in_full(Client::new("localhost", &trust)).expect_err("nobody is trusted");
        assert!(problem.contains(said), "{problem}");
    }
    let problem = in_full(Client::new("no host", &authority())).expect_err("it has a blank");
    assert!(problem.contains("no name or address"), "{problem}");
}
