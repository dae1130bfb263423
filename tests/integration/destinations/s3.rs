//! S3, with SeaweedFS, with moto, and with a server that overwrites as Garage does.

use seawall_test_servers::bucket::Bucket;
use seawall_test_servers::moto::Moto;
use seawall_test_servers::seaweedfs::{self, SeaweedFs};

use super::{Place, Writes, whole_way};
use crate::cli::User;
use crate::support::Source;

fn place(endpoint: &str) -> Place {
    let url = format!("s3://bucket/backups/of%20ours?endpoint={endpoint}&region=us-east-1");
    let mut place = Place::new(url).with(&["--plain-http"]);
    let (key, secret) = seaweedfs::ADMIN;
    place.variables = vec![
        ("AWS_ACCESS_KEY_ID".into(), key.into()),
        ("AWS_SECRET_ACCESS_KEY".into(), secret.into()),
    ];
    place
}

#[test]
fn seaweedfs() {
    let server = SeaweedFs::start();
    server.create_bucket("bucket");
    whole_way(&place(&server.endpoint()), Writes::CreateOnly);
    let user = User::new();
    let mut wrong = place(&server.endpoint());
    wrong.variables[1].1 = "hunter2".into();
    let refused = wrong.run(&user, &["snapshots"]);
    refused.fails(1, &["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"]);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
}

#[test]
fn moto() {
    let server = Moto::start();
    server.create_bucket("bucket");
    whole_way(&place(&server.endpoint()), Writes::CreateOnly);
}

#[test]
fn a_server_that_overwrites() {
    let bucket = Bucket::that_overwrites();
    let endpoint = format!("http://127.0.0.1:{}", bucket.port);
    whole_way(&place(&endpoint), Writes::Weak);
}

/// An emptied bucket looks like a disk that is not mounted, and goes the same way.
fn emptied(place: &Place, empty: &dyn Fn()) {
    let (user, source) = (User::new(), Source::example());
    let installation = source.path.to_str().unwrap();
    place.run(&user, &["init"]).succeeds();
    place.run(&user, &["backup", installation]).succeeds();
    empty();
    for verb in [
        &["backup", installation][..],
        &["backup", installation, "--init"],
        &["init"],
        &["check"],
        &["snapshots"],
        &["status"],
    ] {
        let ran = place.run(&user, verb);
        ran.fails(10, &["this host stored here on 20", "is the disk mounted"]);
        assert!(!ran.stderr.contains("--init"), "{verb:?}: {}", ran.stderr);
    }
    let doctor = place.run(&user, &["doctor"]);
    assert!(doctor.stdout.contains("is the disk mounted"), "{}", doctor.stdout);
    // Another place in the same bucket is new.
    let other = Place {
        url: place.url.replace("/backups/", "/elsewhere/"),
        arguments: place.arguments.clone(),
        variables: place.variables.clone(),
    };
    assert_ne!(other.url, place.url);
    other.run(&user, &["init"]).succeeds();
    place.run(&user, &["init", "--anew"]).succeeds();
    place.run(&user, &["backup", installation]).succeeds();
    place.run(&user, &["check", "--read-data"]).succeeds();
}

#[test]
fn an_emptied_bucket_of_seaweedfs() {
    let server = SeaweedFs::start();
    server.create_bucket("bucket");
    emptied(&place(&server.endpoint()), &|| {
        server.shell("fs.rm -r /buckets/bucket/backups");
    });
}

#[test]
fn an_emptied_bucket_of_moto() {
    use std::io::{Read as _, Write as _};
    let server = Moto::start();
    server.create_bucket("bucket");
    let endpoint = server.endpoint();
    emptied(&place(&endpoint), &|| {
        let address = endpoint.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let limit = Some(std::time::Duration::from_mins(1));
        stream.set_read_timeout(limit).unwrap();
        let head = "POST /moto-api/reset HTTP/1.1\r\nHost: moto\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        server.create_bucket("bucket");
    });
}

/// Credentials from the files that AWS's own tools write; none at all are told, with what to do.
#[test]
fn credentials_of_a_profile() {
    let server = SeaweedFs::start();
    server.create_bucket("bucket");
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (key, secret) = seaweedfs::ADMIN;
    let text = format!("[nightly]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    std::fs::write(path("credentials"), text).unwrap();
    std::fs::write(path("config"), "[profile nightly]\nregion = eu-west-9\n").unwrap();
    let user = User::new();
    let endpoint = server.endpoint();
    let mut place = Place::new(format!("s3://bucket/p?endpoint={endpoint}&profile=nightly"));
    place = place.with(&["--plain-http"]);
    let variable = |name: &str, value: String| (name.to_owned(), value);
    place.variables = vec![
        variable("AWS_SHARED_CREDENTIALS_FILE", path("credentials")),
        variable("AWS_CONFIG_FILE", path("config")),
        variable("AWS_EC2_METADATA_DISABLED", "true".into()),
    ];
    place.run(&user, &["init"]).succeeds();
    place.url = format!("s3://bucket/p?endpoint={endpoint}");
    let none = place.run(&user, &["snapshots"]);
    none.fails(1, &["no credentials for S3", "AWS_ACCESS_KEY_ID", "profile="]);
}

/// Of a repository only the packs of blocks go to another storage class.
#[test]
fn a_class_for_packs() {
    let bucket = Bucket::that_keeps();
    let endpoint = format!("http://127.0.0.1:{}", bucket.port);
    let place = place(&endpoint).with(&["--pack-storage-class", "STANDARD_IA"]);
    let (user, source) = (User::new(), Source::example());
    let installation = source.path.to_str().unwrap();
    place.run(&user, &["backup", installation, "--init"]).succeeds();
    let puts: Vec<_> = bucket.requests().into_iter().filter(|put| put.method == "PUT").collect();
    let is_block = |target: &str| target.contains("/data/blocks/");
    assert!(puts.iter().any(|put| is_block(&put.target)));
    for put in puts {
        let class = put.header("x-amz-storage-class");
        let expected = is_block(&put.target).then_some("STANDARD_IA");
        assert_eq!(class, expected, "{}", put.target);
    }
}

/// A store that begins to overwrite, behind a repository that was made when it did not.
#[test]
fn a_server_that_overwrites_now_is_found_out_by_the_next_backup() {
    let bucket = Bucket::that_keeps();
    let endpoint = format!("http://127.0.0.1:{}", bucket.port);
    let place = place(&endpoint);
    let (user, source) = (User::new(), Source::example());
    let installation = source.path.to_str().unwrap();
    place.run(&user, &["backup", installation, "--init"]).succeeds();
    bucket.script(|request| {
        let is_intent = request.method == "PUT" && request.target.contains("/data/runs/");
        is_intent.then(|| seawall_test_servers::web::Answer::new(200, "").with("etag", "\"x\""))
    });
    let refused = place.run(&user, &["backup", installation]);
    refused.fails(1, &["overwrites", "--accept-weak-writes"]);
}
