//! Sources that receive: what was taken of a connection comes out as lines, and is there again
//! after a restart.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::source::{Kind, Position, Source, SourceItem, Start, SyslogTcpSettings};

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

fn open(
    settings: &SyslogTcpSettings,
    spool: &Path,
    positions: &[Position],
) -> (Box<dyn Source>, CancellationToken) {
    let shutdown = CancellationToken::new();
    let start = Start { instance: "received", spool, positions, shutdown: shutdown.clone() };
    (settings.open(start).expect("opened"), shutdown)
}

/// What comes until so many bytes are there, and the last position.
fn read(source: &mut dyn Source, bytes: usize) -> (String, Option<Position>) {
    let (mut text, mut last) = (String::new(), None);
    while text.len() < bytes {
        if let SourceItem::Data(data) = source.items().blocking_recv().expect("it goes on") {
            text.push_str(&String::from_utf8_lossy(&data.bytes));
            last = source.position(data.key, data.offset + data.bytes.len() as u64);
        }
    }
    (text, last)
}

fn settings(listen: SocketAddr) -> SyslogTcpSettings {
    SyslogTcpSettings { listen, connections_max: 1, message_bytes_max: 64, ..Default::default() }
}

#[test]
fn syslog_messages_become_lines_and_are_not_given_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = || std::fs::read_dir(folder.path()).expect("listed").count();
    let first = settings(free_address());
    let (mut source, shutdown) = open(&first, folder.path(), &[]);
    let mut sender = TcpStream::connect(first.listen).expect("connected");
    sender.write_all(b"<13>Mar  2 line one\n12 <13>a\nb c\nd\n").expect("sent");
    let expected = "<13>Mar  2 line one\n<13>a#012b c#012d\n";
    let (text, position) = read(&mut *source, expected.len());
    assert_eq!(text, expected);
    shutdown.cancel();
    drop(sender);
    let position = position.expect("a position in the spool");
    // The same message again is another message.
    for round in 0..2 {
        let again = settings(free_address());
        let (mut source, shutdown) = open(&again, folder.path(), std::slice::from_ref(&position));
        assert!(source.wants(&position), "it is there still");
        let mut sender = TcpStream::connect(again.listen).expect("connected");
        sender.write_all(b"<13>Mar  2 line one\n").expect("sent");
        let (text, last) = read(&mut *source, 20 * (round + 1));
        assert_eq!(text, "<13>Mar  2 line one\n".repeat(round + 1));
        assert_ne!(last.map(|last| last.key()), Some(position.key()));
        if round == 1 {
            assert_eq!(files(), 3);
            source.persisted(std::slice::from_ref(&position)).expect("the first one goes");
            assert_eq!(files(), 2);
            assert!(!source.wants(&position));
        }
        shutdown.cancel();
    }
}

#[test]
fn bytes_that_are_gone_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let stream = |base: u64, text: &str| {
        let path = folder.path().join(format!("{:020}-{base:020}.log", 7));
        std::fs::write(path, text).expect("written");
    };
    stream(0, "one\n");
    stream(10, "two\n");
    let (mut source, shutdown) = open(&settings(free_address()), folder.path(), &[]);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        match source.items().blocking_recv().expect("it goes on") {
            SourceItem::Data(data) => {
                let text = String::from_utf8_lossy(&data.bytes).into_owned();
                seen.push(format!("{} {text:?} {}", data.offset, data.end_of_file));
            }
            SourceItem::Notice(notice) => {
                let notice = notice.to_string();
                let (_, told) = notice.split_once(": ").expect("it names the segment");
                seen.push(told.split_once(';').expect("with the cure").0.to_owned());
            }
            _ => {}
        }
    }
    let expected = [
        "0 \"one\\n\" false",
        "gone after 4 bytes were read, at least 6 were not",
        "10 \"two\\n\" false",
        "14 \"\" true",
    ];
    assert_eq!(seen, expected);
    shutdown.cancel();
}

#[test]
fn a_sender_that_keeps_to_no_limit_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(free_address());
    let listen = settings.listen;
    let (_source, shutdown) = open(&settings, folder.path(), &[]);
    let closed = |sender: &mut TcpStream| {
        sender.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        !matches!(sender.read(&mut [0]), Ok(1..))
    };
    let mut first = TcpStream::connect(listen).expect("connected");
    first.write_all(b"<13>x\n").expect("sent");
    std::thread::sleep(Duration::from_millis(300));
    let mut second = TcpStream::connect(listen).expect("connected");
    assert!(closed(&mut second), "one connection is the limit");
    first.write_all(&[b'x'; 100]).expect("sent");
    assert!(closed(&mut first), "the message is too long");
    shutdown.cancel();
}
