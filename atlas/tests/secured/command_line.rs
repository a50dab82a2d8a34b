//! The program `atlas` with tokens and authorities.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
};

use service::security::TlsFiles;
use test_support::eventually;

use crate::harness::{DEADLINE, Ended, Place, Running};

const PUBLISH: [&str; 3] = ["publish", "--type", "OrderPlaced"];

impl Place {
    /// Runs the program against a server, with the authority and a token.
    pub(crate) async fn ask(&self, server: &Running, token: &str, arguments: &[&str]) -> Ended {
        let ca = self.folder.file("ca.pem");
        let environment = [
            ("ATLAS_SERVER", &*server.grpc),
            ("ATLAS_CA", &ca),
            ("ATLAS_TOKEN_FILE", token),
        ];
        let mut command = self.command(arguments, &environment);
        let run = move || command.output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended {
            code: output.status.code(),
            output: text(output.stdout),
            errors: text(output.stderr),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_with_a_token_that_it_made_and_says_what_is_missing() {
    let place = Place::create().await;
    let reader = place.new_token("reader", "tokens.toml", &["--scope", "read"]);
    let publisher = place.new_token("publisher", "tokens.toml", &["--scope", "publish"]);
    let server = place.collector("tokens.toml", &[]).await;
    let published = place.ask(&server, &publisher, &PUBLISH).await;
    assert_eq!(published.code, Some(0), "{published:?}");
    let tail = ["tail", "--from-beginning", "--no-follow"];
    let outcome = place.ask(&server, &reader, &tail).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.output.contains("OrderPlaced"), "{outcome:?}");

    let denied = place.ask(&server, &reader, &PUBLISH).await;
    assert_eq!(denied.code, Some(1), "{denied:?}");
    assert!(denied.errors.contains("SCOPE_MISSING"), "{denied:?}");
    let denied = place.ask(&server, &publisher, &tail).await;
    assert_eq!(denied.code, Some(1), "{denied:?}");
    let wrong = place.folder.write("wrong.token", "atlas_wrong\n");
    let refused = place.ask(&server, &wrong, &["info"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.errors.contains("UNAUTHENTICATED"), "{refused:?}");
    assert!(!refused.errors.contains("atlas_wrong"), "{refused:?}");

    // Without the authority the server is not believed.
    let variables = [("ATLAS_SERVER", &*server.grpc), ("ATLAS_TOKEN", "x")];
    let untrusted = place.atlas(&["info"], &variables);
    assert_eq!(untrusted.code, Some(3), "{untrusted:?}");
    // Trying again would not help, so it does not.
    for command in [&PUBLISH[..], &["tail"]] {
        let untrusted = place.atlas(command, &variables);
        assert_eq!(untrusted.code, Some(3), "{untrusted:?}");
        assert!(untrusted.errors.contains("cannot trust"), "{untrusted:?}");
    }
    let nowhere = place.ask(&server, "/nowhere/token", &["info"]).await;
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    assert!(nowhere.errors.contains("/nowhere/token"), "{nowhere:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_whose_token_is_revoked_ends_and_says_where_to_resume() {
    let place = Place::create().await;
    let kept = ["--scope", "read", "--scope", "publish"];
    let kept = place.new_token("kept", "tokens.toml", &kept);
    let before = std::fs::read_to_string(place.folder.file("tokens.toml")).unwrap();
    let revoked = place.new_token("revoked", "tokens.toml", &["--scope", "read"]);
    let server = place.collector("tokens.toml", &[]).await;
    let ca = place.folder.file("ca.pem");
    let arguments = ["tail", "--from-beginning", "--server", &server.grpc];
    let files = ["--ca", &ca, "--token-file", &revoked];
    let mut tail = place.command(&[&arguments[..], &files].concat(), &[]);
    let mut tail = tail.spawn().unwrap();
    let published = place.ask(&server, &kept, &PUBLISH).await;
    assert_eq!(published.code, Some(0), "{published:?}");
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let first = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap());
    assert!(first.await.unwrap().contains("OrderPlaced"));

    place.folder.write("tokens.toml", &before);
    eventually(DEADLINE, async || tail.try_wait().unwrap().is_some()).await;
    assert_eq!(tail.wait().unwrap().code(), Some(1));
    let mut errors = String::new();
    let mut said = tail.stderr.take().unwrap();
    said.read_to_string(&mut errors).unwrap();
    assert!(errors.contains("revoked or changed"), "{errors}");
    assert!(errors.contains("resume with --after 1"), "{errors}");
    server.stop().await;
}

#[test]
fn a_token_is_printed_once_and_only_its_hash_is_kept() {
    let place = test_support::Folder::create();
    let file = place.file("tokens.toml");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_atlas"))
            .args(["token", "new", "--scope", "read"])
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, token, _) = run(&["--name", "a", "--series", "UNRATE", "--append", &file]);
    assert_eq!(code, Some(0));
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(token.starts_with("atlas_") && !kept.contains(token.trim()));
    assert!(kept.contains("series = [\"UNRATE\"]"), "{kept}");
    let (code, printed, _) = run(&["--name", "b", "--expires", "90d"]);
    assert_eq!(code, Some(0));
    assert!(printed.contains("expires = \"20"), "{printed}");
    // What a server would refuse is not written.
    let (code, _, stderr) = run(&["--name", "a", "--append", &file]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("there twice"), "{stderr}");
    let (code, _, stderr) = run(&["--name", "c", "--type", "Nope"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept);
    // One that goes to a file is for its owner alone, replaces none, and is not shown.
    let secret = place.file("d.token");
    let (code, printed, stderr) = run(&["--name", "d", "--out", &secret]);
    assert_eq!(code, Some(0), "{stderr}");
    let token = std::fs::read_to_string(&secret).unwrap();
    let mode = std::fs::metadata(&secret).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    assert!(token.starts_with("atlas_"));
    assert!(
        !printed.contains("atlas_") && !stderr.contains("atlas_"),
        "{printed}{stderr}"
    );
    assert!(printed.contains("name = \"d\""), "{printed}");
    let (code, printed, stderr) = run(&["--name", "e", "--out", &secret, "--append", &file]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        !printed.contains("atlas_") && !stderr.contains("atlas_"),
        "{printed}{stderr}"
    );
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), token);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        kept,
        "no entry without its token"
    );
    let other = place.file("e.token");
    let appended = run(&["--name", "e", "--out", &other, "--append", &file]);
    assert_eq!(appended, (Some(0), String::new(), String::new()));
    assert_ne!(std::fs::read_to_string(&file).unwrap(), kept);
}

/// As containers ask themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_over_tls_says_how_it_is() {
    let place = Place::create().await;
    place.new_token("a", "tokens.toml", &["--scope", "read"]);
    let ca = place.folder.file("ca.pem");
    let setting = format!("rest.tls_client_ca={ca}");
    let server = place.collector("tokens.toml", &[&setting]).await;
    let files = TlsFiles {
        certificate: ("tls.certificate", place.folder.file("server.pem").into()),
        key: ("tls.key", place.folder.file("server.key").into()),
        client_ca: Some(("tls.client_ca", ca.into())),
        client_optional: false,
    };
    let address = server.rest_address;
    let asked = async |files: Option<TlsFiles>| {
        let ask = move || service::ask_readiness(address, files.as_ref());
        tokio::task::spawn_blocking(ask).await.unwrap()
    };
    let reported = asked(Some(files.clone())).await.unwrap();
    assert!(reported.contains("ready"), "{reported}");
    asked(None).await.unwrap_err();
    let unknown = TlsFiles {
        client_ca: None,
        ..files
    };
    asked(Some(unknown)).await.unwrap_err();
    server.stop().await;
}
