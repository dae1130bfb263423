//! Who is let in, and which servers are believed.

use std::error::Error as _;
use std::path::Path;

use seawall_test_servers::sshd::Agent;
use seawall_test_servers::wait;

use super::*;

const SECRET: &str = "correct horse battery";

/// A server with several host keys; logins are for this module's tests to add to.
fn server() -> &'static Sshd {
    static SERVER: OnceLock<Sshd> = OnceLock::new();
    SERVER.get_or_init(|| {
        Sshd::start(&Setup { host_keys: vec!["rsa", "ecdsa", "ed25519"], ..Setup::default() })
    })
}

fn access() -> Access {
    Access::new(server(), server().port)
}

/// An error's kind, and all that it says.
fn refused(access: &Access) -> (ErrorKind, String) {
    let error = access.try_open(Absent::Refuse).unwrap_err();
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let text = format!("{error}: {source}; hint: {}", error.hint().unwrap_or("none"));
    assert!(!format!("{error:?}{text}").contains(SECRET), "{text}");
    (error.kind(), text)
}

fn put_known(access: &mut Access, text: &str) {
    let path = access.kept.path().join("known_hosts");
    std::fs::write(&path, text).unwrap();
    access.options.ssh.known_hosts = Some(path);
}

/// A new key that the server lets in, with a passphrase.
fn new_key(access: &Access, kind: &str, passphrase: &str) -> PathBuf {
    let path = access.kept.path().join(format!("key-{kind}"));
    make_key(&path, kind, passphrase);
    server().let_in(&public_half(&path));
    path
}

fn set_variable(access: &mut Access, name: &'static str, value: &Path) {
    let value = value.to_str().unwrap().to_owned();
    let home = access.kept.path().to_str().unwrap().to_owned();
    access.options.variable = Arc::new(move |asked| match asked {
        "HOME" => Some(home.clone()),
        _ => (asked == name).then(|| value.clone()),
    });
}

#[test]
fn an_agent_signs() {
    for kind in ["ed25519", "rsa"] {
        let mut access = access();
        access.options.ssh.identities.clear();
        assert_eq!(refused(&access).0, ErrorKind::PermissionDenied);
        let good = new_key(&access, kind, "");
        let other = access.kept.path().join("other");
        make_key(&other, "ed25519", "");
        // One that the server does not know comes first.
        let agent = Agent::start(&[&other, &good]);
        set_variable(&mut access, "SSH_AUTH_SOCK", &agent.socket);
        access.open().put_new(&key("a"), b"x").unwrap();
    }
}

/// As ssh does: a key that is named is refused, one that is only found is passed over.
#[test]
fn a_key_file_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut access = access();
    let path = new_key(&access, "ed25519", "");
    let set = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    access.options.ssh.identities = vec![path.clone()];
    access.open();
    for mode in [0o644, 0o640, 0o666] {
        set(mode);
        let (kind, text) = refused(&access);
        assert_eq!(kind, ErrorKind::Invalid, "{text}");
        assert!(text.contains(&format!("mode {mode:04o}")), "{text}");
        assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
    }
    set(0o400);
    access.open();
}

#[test]
fn an_agent_that_is_not_there_is_told() {
    let mut access = access();
    access.options.ssh.identities.clear();
    set_variable(&mut access, "SSH_AUTH_SOCK", Path::new("/nowhere/agent"));
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert!(text.contains("/nowhere/agent"), "{text}");
    assert!(text.contains("the server takes: publickey"), "{text}");
    assert!(text.contains("authorized_keys"), "{text}");
}

#[test]
fn usual_and_configured_key_files_are_tried() {
    let mut access = access();
    access.options.ssh.identities.clear();
    let good = new_key(&access, "rsa", "");
    let ssh = access.kept.path().join(".ssh");
    std::fs::create_dir(&ssh).unwrap();
    std::fs::copy(&good, ssh.join("id_rsa")).unwrap();
    access.open();
    std::fs::rename(ssh.join("id_rsa"), ssh.join("mine")).unwrap();
    assert_eq!(refused(&access).0, ErrorKind::PermissionDenied);
    std::fs::write(ssh.join("config"), "IdentityFile ~/.ssh/mine\n").unwrap();
    access.open();
}

/// `IdentitiesOnly`, and key files of which only the public half is here.
#[test]
fn a_public_half_picks_out_a_key_of_the_agent() {
    for names_it in ["key-ed25519.pub", "key-ed25519"] {
        let mut access = access();
        access.options.ssh.identities.clear();
        let good = new_key(&access, "ed25519", "");
        let other = access.kept.path().join("other");
        make_key(&other, "ed25519", "");
        let agent = Agent::start(&[&other, &good]);
        set_variable(&mut access, "SSH_AUTH_SOCK", &agent.socket);
        std::fs::remove_file(&good).unwrap();
        let config = access.kept.path().join("config");
        access.options.ssh.config = Some(config.clone());
        let home = access.kept.path().display().to_string();
        let text = format!("IdentitiesOnly yes\nIdentityFile {home}/");
        std::fs::write(&config, format!("{text}{names_it}\n")).unwrap();
        access.open();
        // The agent offers no other.
        std::fs::write(&config, format!("{text}other\n")).unwrap();
        let (_, refusal) = refused(&access);
        assert_eq!(refusal.matches("SHA256:").count(), 1, "{refusal}");
        // Without the agent there is nothing to sign with.
        set_variable(&mut access, "NOTHING", Path::new("/"));
        std::fs::write(&config, format!("{text}{names_it}\n")).unwrap();
        let (kind, refusal) = refused(&access);
        assert_eq!(kind, ErrorKind::PermissionDenied);
        assert!(refusal.contains("private half"), "{refusal}");
    }
}

/// Servers count how often one tries.
#[test]
fn a_key_that_is_in_the_agent_too_is_offered_once() {
    let mut access = access();
    let names = ["one", "two"].map(|name| access.kept.path().join(name));
    for name in &names {
        make_key(name, "ed25519", "");
    }
    let agent = Agent::start(&[&names[0], &names[1]]);
    set_variable(&mut access, "SSH_AUTH_SOCK", &agent.socket);
    access.options.ssh.identities = names.to_vec();
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert_eq!(text.matches("SHA256:").count(), 2, "{text}");
}

#[test]
fn a_server_that_hangs_up_after_many_keys_refuses() {
    let mut access = access();
    let names = (0..8).map(|number| access.kept.path().join(format!("key-{number}")));
    access.options.ssh.identities = names.collect();
    for name in &access.options.ssh.identities {
        make_key(name, "ed25519", "");
    }
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::PermissionDenied, "{text}");
    assert!(text.contains("IdentitiesOnly yes"), "{text}");
}

#[test]
fn a_password_is_for_the_destination_and_not_for_a_machine_on_the_way() {
    let jump = &rclone::server().access;
    let mut access = access();
    let known = std::fs::read_to_string(jump.options.ssh.known_hosts.as_ref().unwrap()).unwrap();
    put_known(&mut access, &known);
    let config = access.kept.path().join("config");
    let (_, jump_address) = jump.url.split_once("//").unwrap();
    let jump_address = jump_address.trim_end_matches('/');
    access.url = access.url.replace("127.0.0.1", "localhost");
    std::fs::write(&config, format!("Host localhost\nProxyJump {jump_address}\n")).unwrap();
    access.options.ssh.config = Some(config);
    access.options.ssh.identities.clear();
    access.options.password = jump.options.password.clone();
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::PermissionDenied, "{text}");
    assert!(text.contains("nothing could be tried"), "{text}");
    // It is asked for, by the machine's name.
    let (password, at_jump) = (jump.options.password.clone(), jump_address.to_owned());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    access.options.ask = Arc::new(move |what| {
        count.fetch_add(usize::from(what.contains(&at_jump)), Ordering::Relaxed);
        password.clone()
    });
    let (_, text) = refused(&access);
    assert!(!text.contains("nothing could be tried"), "{text}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn encrypted_keys_open_with_a_passphrase() {
    for kind in ["ed25519", "rsa"] {
        let mut access = access();
        access.options.ssh.identities = vec![new_key(&access, kind, SECRET)];
        let (_, text) = refused(&access);
        assert!(text.contains("no passphrase is given"), "{text}");
        access.options.ssh.passphrase = Some("wrong".into());
        let (refusal, text) = refused(&access);
        assert_eq!(refusal, ErrorKind::PermissionDenied);
        assert!(text.contains("does not open"), "{text}");
        access.options.ssh.passphrase = Some(SECRET.into());
        access.open();
    }
}

#[test]
fn a_person_is_asked_once_and_only_for_a_key_that_helps() {
    let mut access = access();
    let useless = access.kept.path().join("useless");
    make_key(&useless, "ed25519", "another");
    access.options.ssh.identities = vec![useless, new_key(&access, "ecdsa", SECRET)];
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    access.options.ask = Arc::new(move |what| {
        notes.lock().unwrap().push(what.to_owned());
        Some(SECRET.into())
    });
    let client = access.open();
    // On every connection.
    std::thread::scope(|scope| {
        for number in 0..16 {
            let client = &client;
            scope.spawn(move || client.put_new(&key(&format!("{number}")), &[0; 100_000]));
        }
    });
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("key-ecdsa"), "{asked:?}");
    assert!(!format!("{client:?}{:?}", access.options).contains(SECRET));
}

#[test]
fn a_key_file_that_was_named_has_to_be_there() {
    let mut access = access();
    access.options.ssh.identities = vec!["/nowhere/key".into()];
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("/nowhere/key"), "{text}");
}

#[test]
fn a_wrong_password_is_refused_and_not_told() {
    let server = rclone::server();
    let options = Options { password: Some(SECRET.into()), ..server.access.options.clone() };
    let access = Access {
        url: server.access.url.clone(),
        options,
        folder: server.access.folder.clone(),
        kept: TempDir::new().unwrap(),
    };
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert!(text.contains("a password"), "{text}");
    let asking = Options { password: None, ask: Arc::new(|_| None), ..access.options.clone() };
    let (_, text) = refused(&Access { options: asking, ..access });
    assert!(text.contains("nothing could be tried"), "{text}");
}

#[test]
fn an_unknown_host_is_refused_with_its_fingerprint() {
    let mut access = access();
    put_known(&mut access, "");
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::Invalid);
    let port = server().port;
    for part in [
        "is not known",
        "SHA256:",
        "ssh-ed25519",
        &format!("ssh-keyscan -p {port} '127.0.0.1' >> '"),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_changed_key_is_refused_with_both_fingerprints() {
    let mut access = access();
    let port = server().port;
    let other = plain().known_line("ed25519", port);
    put_known(&mut access, &format!("# a comment\n{other}"));
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("CHANGED") && text.contains("line 2"), "{text}");
    assert_eq!(text.matches("SHA256:").count(), 2, "{text}");
    assert!(text.contains("ssh-keygen -f"), "{text}");
}

#[test]
fn a_revoked_key_is_refused() {
    let mut access = access();
    let line = server().known_line("ed25519", server().port);
    let revoked = format!("{line}@revoked * {}\n", server().host_key("ed25519"));
    put_known(&mut access, &revoked);
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("revoked by") && text.contains("line 2"), "{text}");
}

/// Those that are known are asked for, although the server would rather show others.
#[test]
fn any_of_several_host_keys_may_be_the_known_one() {
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let mut access = access();
        let line = server().known_line(kind, server().port);
        put_known(&mut access, &line);
        access.open();
    }
}

#[test]
fn known_hosts_may_be_hashed_or_patterns() {
    let (port, ed) = (server().port, server().host_key("ed25519"));
    let mut access = access();
    put_known(&mut access, &format!("[127.0.0.*]:* {ed}\n"));
    access.open();
    put_known(&mut access, &server().known_line("ed25519", port));
    let path = access.options.ssh.known_hosts.clone().unwrap();
    let mut hash = std::process::Command::new("ssh-keygen");
    hash.args(["-q", "-H", "-f"]).arg(&path);
    wait::success(&mut hash);
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("|1|"));
    access.open();
    put_known(&mut access, &format!("![127.0.0.1]:*,!127.0.0.1,* {ed}\n"));
    assert_eq!(refused(&access).0, ErrorKind::Invalid);
}

/// Names, users, ports and keys from the configuration; over two machines, each of which is checked.
#[test]
fn the_configuration_says_how_to_get_there() {
    let mut access = access();
    let ssh = access.kept.path().join(".ssh");
    std::fs::create_dir(&ssh).unwrap();
    let (jump, target) = (plain(), server());
    let user = &target.user;
    let config = format!(
        "Host target\n HostName 127.0.0.1\n Port {}\n ProxyJump jump\n IdentityFile {}\n\
         Include more.*\nHost *\n User {user}\n",
        target.port,
        target.key().display(),
    );
    std::fs::write(ssh.join("config"), config).unwrap();
    let more = format!(
        "Host jump\n HostName 127.0.0.1\n Port {}\n IdentityFile {}\n UserKnownHostsFile ~/.ssh/of_jump\n",
        jump.port,
        jump.key().display()
    );
    // Included where the target's block stands, and so only for it: what follows is for all.
    std::fs::write(ssh.join("more.conf"), "").unwrap();
    let all = std::fs::read_to_string(ssh.join("config")).unwrap();
    std::fs::write(ssh.join("config"), format!("{more}{all}")).unwrap();
    std::fs::write(ssh.join("known_hosts"), target.known_line("ed25519", target.port)).unwrap();
    std::fs::write(ssh.join("of_jump"), jump.known_line("ed25519", jump.port)).unwrap();
    access.options.ssh.known_hosts = None;
    access.options.ssh.identities.clear();
    let path = access.folder.to_str().unwrap();
    access.url = format!("sftp://target{path}");
    let before = jump.printed().matches("Accepted publickey").count();
    let client = access.open();
    client.put_new(&key("a/b"), &[7; 300_000]).unwrap();
    assert_eq!(client.get(&key("a/b"), None).unwrap(), [7; 300_000]);
    assert!(jump.printed().matches("Accepted publickey").count() > before);

    std::fs::write(ssh.join("of_jump"), "").unwrap();
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::Invalid);
    let at_jump = format!("{user}@127.0.0.1:{}", jump.port);
    assert!(text.contains(&at_jump) && text.contains("not known"), "{text}");
    std::fs::write(ssh.join("of_jump"), jump.known_line("ed25519", jump.port)).unwrap();
    std::fs::write(ssh.join("known_hosts"), "").unwrap();
    let (_, text) = refused(&access);
    let at_target = format!("{user}@127.0.0.1:{}", target.port);
    assert!(text.contains(&at_target) && text.contains("through the same machines"), "{text}");
}

#[test]
fn what_the_url_says_wins_over_the_configuration() {
    let mut access = access();
    let config = access.kept.path().join("config");
    std::fs::write(&config, "User nobody-at-all\nPort 1\n").unwrap();
    access.options.ssh.config = Some(config.clone());
    access.open();
    std::fs::write(&config, "Port many\n").unwrap();
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("line 1: port"), "{text}");
    std::fs::write(&config, "ProxyCommand nc %h %p\n").unwrap();
    assert!(refused(&access).1.contains("ProxyCommand"));
    std::fs::write(&config, "RevokedHostKeys /nowhere\n").unwrap();
    assert!(refused(&access).1.contains("RevokedHostKeys /nowhere"));
    std::fs::write(&config, "RevokedHostKeys none\nStrictHostKeyChecking no\n").unwrap();
    access.open();
    let known = access.options.ssh.known_hosts.replace("/nowhere".into());
    assert!(refused(&access).1.contains("is not known"));
    access.options.ssh.known_hosts = known;
    std::fs::write(&config, "Host 127.0.0.1\nProxyJump 127.0.0.1\n").unwrap();
    assert!(refused(&access).1.contains("circle"));
    std::fs::remove_file(&config).unwrap();
    assert!(refused(&access).1.contains("no such file"));
}

#[test]
fn folders_are_refused_or_made() {
    let mut access = access();
    let url = access.url.clone();
    access.url = format!("{url}/a/b");
    let (kind, text) = refused(&access);
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(text.contains("/a/b"), "{text}");
    let made = access.try_open(Absent::Make).unwrap();
    made.put_new(&key("x"), b"1").unwrap();
    access.try_open(Absent::Make).unwrap();
    assert_eq!(std::fs::read(access.folder.join("a/b/x")).unwrap(), b"1");
    access.url = format!("{url}/a/b/x");
    assert_eq!(refused(&access).0, ErrorKind::Invalid);
    access.url = format!("{url}/a/b/x/y");
    let made = access.try_open(Absent::Make).unwrap_err();
    assert_eq!(made.kind(), ErrorKind::Invalid);
    access.url = format!("{url}?parameter=1");
    assert_eq!(refused(&access).0, ErrorKind::Invalid);
}
