//! Sources that receive: what was taken of a connection comes out as lines, and is there again
//! after a restart.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::source::{FilePosition, SyslogTcpSettings};
use crate::source::{FileSourceMode, Position, Source, SourceItem, SourceKind, Start};

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

fn open(
    kind: &SourceKind,
    spool: &Path,
    positions: &[FilePosition],
) -> (Box<dyn Source>, CancellationToken) {
    let shutdown = CancellationToken::new();
    let start = Start {
        name: "received",
        spool,
        positions,
        mode: FileSourceMode::Follow,
        shutdown: shutdown.clone(),
    };
    (kind.open(start).expect("opened"), shutdown)
}

/// What comes until so many bytes are there, and the last position.
fn read(source: &mut dyn Source, bytes: usize) -> (String, Option<Position>) {
    let (mut text, mut last) = (String::new(), None);
    while text.len() < bytes {
        match source.items().blocking_recv().expect("it goes on") {
            SourceItem::Data(data) => {
                text.push_str(&String::from_utf8_lossy(&data.bytes));
                last = source.position(data.key, data.offset + data.bytes.len() as u64);
            }
            _ => {}
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
    let kind = SourceKind::SyslogTcp(settings(free_address()));
    let SourceKind::SyslogTcp(SyslogTcpSettings { listen, .. }) = kind else { unreachable!() };
    let (mut source, shutdown) = open(&kind, folder.path(), &[]);
    let mut sender = TcpStream::connect(listen).expect("connected");
    sender.write_all(b"<13>Mar  2 line one\n12 <13>a\nb c\nd\n").expect("sent");
    let expected = "<13>Mar  2 line one\n<13>a#012b c#012d\n";
    let (text, position) = read(&mut *source, expected.len());
    assert_eq!(text, expected);
    shutdown.cancel();
    drop(sender);
    let Some(Position::File(position)) = position else { panic!("a position in the spool") };
    let again = SourceKind::SyslogTcp(settings(free_address()));
    let SourceKind::SyslogTcp(SyslogTcpSettings { listen, .. }) = again else { unreachable!() };
    let (mut source, shutdown) = open(&again, folder.path(), std::slice::from_ref(&position));
    let mut sender = TcpStream::connect(listen).expect("connected");
    sender.write_all(b"<13>next\n").expect("sent");
    assert_eq!(read(&mut *source, 9).0, "<13>next\n");
    source.persisted(&[Position::File(position)]).expect("the first file of the spool goes");
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    shutdown.cancel();
}

#[test]
fn a_sender_that_keeps_to_no_limit_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = free_address();
    let (_source, shutdown) = open(&SourceKind::SyslogTcp(settings(listen)), folder.path(), &[]);
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
