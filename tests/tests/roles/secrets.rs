//! Secrets of the console that change while it is served. What comes of them is shown where they are used: here it is that
//! they arrive, and that what is no good does not.

use tallyport_tests::{Role, Site, eventually};

use crate::together::checks;

#[test]
fn new_secrets_of_the_console_are_read_without_a_restart() {
    let test = "new_secrets_of_the_console_are_read_without_a_restart";
    let Some(site) = Site::start(test) else { return };
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let config = site.config("up.toml", &log, &lake, &["gateway", "console", "recorder"]);
    let text = std::fs::read_to_string(&config).unwrap();
    let client = "client_id = \"tallyport-people\"\n";
    let text = text
        .replace("[console]\n", "[console]\nkey = { file = \"console.key\" }\n")
        .replace(client, &format!("{client}client_secret = {{ file = \"people.secret\" }}\n"));
    std::fs::write(&config, text).unwrap();
    let write = |file: &str, text: &str| std::fs::write(site.path(file), text).unwrap();
    write("console.key", &"0123456789abcdef".repeat(3));
    write("people.secret", "one");
    checks(&config);
    let up = Role::start("up", &config);
    // Nothing is new yet: the first look finds what the start found.
    write("people.secret", "two");
    let anew = |key: &str| {
        let named = |line: &str| line.contains("the secret was read anew") && line.contains(key);
        up.log().lines().any(named)
    };
    assert!(eventually(|| anew("console.sign_in.sso.client_secret")), "{}", up.log());
    assert!(!anew("console.key"), "{}", up.log());

    write("console.key", "too short");
    let refused = || up.log().contains("give at least 32 bytes of randomness");
    assert!(eventually(refused), "{}", up.log());
    write("console.key", &"fedcba9876543210".repeat(3));
    assert!(eventually(|| anew("console.key")), "{}", up.log());
    let log = up.end();
    assert_eq!(log.matches("the secret was read anew").count(), 2, "{log}");
    assert_eq!(log.matches("cannot be read anew").count(), 1, "said once: {log}");
    assert!(!log.contains("fedcba98"), "{log}");
}
