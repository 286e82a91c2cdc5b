//! A syslog stream that many programs share: their lines are rejects, and change nothing of the
//! server's.

use ingest::StreamSettings;

use crate::support::read;

const ATTACK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../testdata/formats/postgresql_syslog/attack_privilege.log"
);

fn of_sshd(lines: usize) -> String {
    let line = |number: usize| {
        format!(
            "<86>Nov 21 02:00:{:02} db1 sshd[{}]: Accepted publickey for deploy from 10.0.0.9 \
             port {number} ssh2: ED25519\n",
            number % 60,
            4_000 + number
        )
    };
    (0..lines).map(line).collect()
}

#[test]
fn lines_of_other_programs_speak_for_nobody() {
    let attack = std::fs::read_to_string(ATTACK).expect("the capture");
    let alone = read(StreamSettings::default(), attack.as_bytes());
    let told = |output: &crate::support::Output| -> Vec<_> {
        let events = output.events();
        let told = |event: &serde_json::Value| {
            ["command", "user", "statement", "outcome"].map(|name| event[name].clone())
        };
        events.iter().map(told).collect()
    };
    let expected = told(&alone);
    assert!(expected.len() > 30);
    // Fewer than are sampled, as many, more, and more than the whole sample takes.
    for lines in [1, 12, 30, 39, 40, 41, 300, 1_000, 3_000] {
        let log = of_sshd(lines) + &attack;
        let output = read(StreamSettings::default(), log.as_bytes());
        assert_eq!(told(&output), expected, "{lines} lines in front");
        assert_eq!(output.rejects.len(), lines);
    }
}
