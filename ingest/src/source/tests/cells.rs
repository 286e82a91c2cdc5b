//! Rotation kind × compression × when the source restarts × how old its positions are: each
//! cell gives every byte once.

use super::rig::{Rig, lines};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rotation {
    Rename,
    RenameUnread,
    CopyTruncate,
    Dated,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Restart {
    Never,
    BeforeRotation,
    AfterRotation,
    AfterCompression,
}

fn check(rotation: Rotation, compression: Compression, restart: Restart, quarters: u64) {
    let cell = format!("{rotation:?} {compression:?} {restart:?} {quarters}/4");
    let mut rig = Rig::new(&["*.log*"]);
    let renew = |rig: &mut Rig, moment: Restart| {
        if moment == restart {
            rig.restart(&rig.positions(|read| read * quarters / 4));
        }
    };
    rig.append("x.log", lines("old", 60).as_bytes());
    rig.read();
    rig.append("x.log", b"the last of the old\n");
    if rotation != Rotation::RenameUnread {
        rig.read();
    }
    renew(&mut rig, Restart::BeforeRotation);
    let current = match rotation {
        Rotation::Rename | Rotation::RenameUnread => {
            rig.rename("x.log", "x.log.1");
            "x.log"
        }
        Rotation::CopyTruncate => {
            rig.copy("x.log", "x.log.1");
            rig.truncate("x.log");
            "x.log"
        }
        Rotation::Dated => {
            rig.rename("x.log", "x.log.1");
            "y-20260102.log"
        }
    };
    rig.append(current, lines("new", 20).as_bytes());
    renew(&mut rig, Restart::AfterRotation);
    match compression {
        Compression::None => {}
        Compression::Gzip => rig.gzip("x.log.1", "x.log.1.gz"),
        Compression::Zstd => rig.zstd("x.log.1", "x.log.1.zst"),
    }
    if compression != Compression::None {
        rig.remove("x.log.1");
    }
    renew(&mut rig, Restart::AfterCompression);
    rig.read();
    rig.append(current, lines("newer", 20).as_bytes());
    rig.later(6);
    rig.later(6);
    let old = lines("old", 60) + "the last of the old\n";
    let new = lines("new", 20) + &lines("newer", 20);
    assert_eq!(rig.contents(), [new, old], "{cell}: {:?}", rig.notices);
}

#[test]
fn every_cell_gives_every_byte_once() {
    let mut cells = 0;
    for rotation in
        [Rotation::Rename, Rotation::RenameUnread, Rotation::CopyTruncate, Rotation::Dated]
    {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            for quarters in [0, 1, 2, 4] {
                for restart in
                    [Restart::BeforeRotation, Restart::AfterRotation, Restart::AfterCompression]
                {
                    check(rotation, compression, restart, quarters);
                    cells += 1;
                }
            }
            check(rotation, compression, Restart::Never, 4);
            cells += 1;
        }
    }
    assert_eq!(cells, 156);
}
