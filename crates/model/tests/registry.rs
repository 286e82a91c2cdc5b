//! The folder of models under hostile names, crashes, damage and two publishers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use model::{DayProfile, Registry, RegistryError, TrainSettings, Trained, Trainer};
use proptest::prelude::*;
use tempfile::TempDir;

const DAY: i32 = 20_000;

/// The prior of an instance; `score` makes its bytes differ.
fn prior(instance: &str, day: i32, score: f64) -> Trained {
    let mut trainer = Trainer::new(TrainSettings::default());
    trainer.add(DayProfile {
        instance: String::from(instance),
        identity: String::from("ann"),
        day,
        score,
        ..DayProfile::default()
    });
    trainer.train(day, instance).remove(0)
}

fn registry() -> (TempDir, Registry) {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry::open(&root.path().join("models")).unwrap();
    (root, registry)
}

/// Every path below a folder, relative to it.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().to_path_buf());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_newest_of_a_day_or_earlier_is_found() {
    let (root, registry) = registry();
    assert_eq!(registry.newest("prior", "shop", None).unwrap(), None);
    let versions: Vec<String> =
        (0..3).map(|later| registry.publish(&prior("shop", DAY + later, 1.0)).unwrap()).collect();
    assert!(versions[0].starts_with("2024-10-04-"), "{versions:?}");
    let found = |day| registry.newest("prior", "shop", day).unwrap().map(|found| found.0);
    assert_eq!(found(None).as_ref(), Some(&versions[2]));
    assert_eq!(found(Some(DAY + 1)).as_ref(), Some(&versions[1]));
    assert_eq!(found(Some(DAY - 1)), None);
    let (_, bytes, manifest) = registry.newest("prior", "shop", None).unwrap().unwrap();
    let published = prior("shop", DAY + 2, 1.0);
    assert_eq!((bytes, manifest), (published.bytes, published.manifest));
    assert_eq!(registry.newest("peers", "shop", None).unwrap(), None);
    let shape = root.path().join("models/prior/shop").join(&versions[0]);
    assert!(shape.join("model").is_file() && shape.join("manifest.json").is_file());
}

#[test]
fn a_version_is_written_once() {
    let (root, registry) = registry();
    let trained = prior("shop", DAY, 1.0);
    let version = registry.publish(&trained).unwrap();
    assert_eq!(registry.publish(&trained).unwrap(), version);
    let file = root.path().join("models/prior/shop").join(&version).join("model");
    fs::write(&file, b"other").unwrap();
    let refused = registry.publish(&trained).unwrap_err();
    assert!(matches!(refused, RegistryError::Conflict { .. }), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), b"other");
    let mut lie = prior("shop", DAY, 2.0);
    lie.manifest.version = version;
    assert!(matches!(registry.publish(&lie), Err(RegistryError::Invalid { .. })));
    lie.manifest.version = String::from("../../outside");
    assert!(matches!(registry.publish(&lie), Err(RegistryError::Invalid { .. })));
    assert!(!root.path().join("outside").exists());
}

#[test]
fn publishers_at_once_agree() {
    let (_root, registry) = registry();
    std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| registry.publish(&prior("shop", DAY, 1.0)).unwrap()))
            .collect();
        let versions: BTreeSet<String> =
            publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect();
        assert_eq!(versions.len(), 1);
    });
    assert_eq!(registry.list().unwrap().manifests.len(), 1);
}

#[test]
fn hostile_instances_have_folders_of_their_own() {
    let (root, registry) = registry();
    let long = "a".repeat(10_000);
    let longer = "a".repeat(10_001);
    let names = [
        "",
        ".",
        "..",
        "../..",
        "/",
        "/etc",
        "a/b",
        "a\0b",
        "ab",
        "AB",
        "Ab",
        "shop",
        "shop.",
        ".unfinished-x",
        "~",
        "shop~",
        "ü",
        "a\nb",
        &long,
        &longer,
    ];
    let mut expected: Vec<String> = names.iter().map(|name| String::from(*name)).collect();
    for name in names {
        registry.publish(&prior(name, DAY, 1.0)).unwrap();
    }
    for name in names {
        let (_, _, manifest) = registry.newest("prior", name, None).unwrap().unwrap();
        assert_eq!(manifest.instance, name);
    }
    expected.sort();
    assert_eq!(registry.instances("prior").unwrap(), expected);
    assert_eq!(paths(root.path()).len(), 2 + names.len() * 4, "nothing lies outside");
    let folders: BTreeSet<String> = fs::read_dir(root.path().join("models/prior"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().to_lowercase())
        .collect();
    assert_eq!(folders.len(), names.len(), "also where case makes no difference");
    assert!(folders.iter().all(|name| name.len() <= 100));
}

#[test]
fn what_a_crash_leaves_is_harmless() {
    let (root, registry) = registry();
    let folder = root.path().join("models/prior/shop");
    fs::create_dir_all(folder.join(".unfinished-1")).unwrap();
    fs::write(folder.join(".unfinished-1/model"), b"half").unwrap();
    // A version name without its files is not what this program leaves, but a copy may.
    fs::create_dir_all(folder.join("2030-01-01-00000000")).unwrap();
    fs::write(folder.join("2030-01-01-00000000/model"), b"half").unwrap();
    let version = registry.publish(&prior("shop", DAY, 1.0)).unwrap();
    let (found, problems) = registry.newest_and_problems("prior", "shop", None).unwrap();
    assert_eq!(found.unwrap().0, version);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().contains("2030-01-01-00000000/manifest.json: is missing"));
    assert_eq!(registry.list().unwrap().problems.len(), 1);
    assert_eq!(registry.instances("prior").unwrap(), ["shop"]);
}

#[test]
fn a_model_of_another_instance_is_not_taken() {
    let (root, registry) = registry();
    let version = registry.publish(&prior("shop", DAY, 1.0)).unwrap();
    let models = root.path().join("models/prior");
    fs::create_dir(models.join("bank")).unwrap();
    fs::rename(models.join("shop").join(&version), models.join("bank").join(&version)).unwrap();
    assert_eq!(registry.newest("prior", "bank", None).unwrap(), None);
    assert_eq!(registry.instances("prior").unwrap(), [""; 0]);
}

#[test]
fn prune_keeps_the_newest_valid_and_the_named() {
    let (root, registry) = registry();
    let publish = |later| registry.publish(&prior("shop", DAY + later, 1.0)).unwrap();
    let versions: Vec<String> = (0..6).map(publish).collect();
    let folder = root.path().join("models/prior/shop");
    fs::write(folder.join(&versions[5]).join("model"), b"damaged").unwrap();
    let removed = registry.prune(2, &BTreeSet::from([versions[0].clone()])).unwrap();
    let names: Vec<&str> = removed.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, [&versions[2], &versions[1]]);
    let left: Vec<PathBuf> =
        paths(&folder).into_iter().filter(|path| path.components().count() == 1).collect();
    assert_eq!(left, [0, 3, 4, 5].map(|n: usize| PathBuf::from(&versions[n])));
    assert_eq!(registry.prune(0, &BTreeSet::new()).unwrap().len(), 2);
    assert_eq!(registry.newest("prior", "shop", None).unwrap().unwrap().0, versions[4]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 50,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_on_disk_are_skipped(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        byte: u8,
        is_model: bool,
        is_cut: bool,
    ) {
        let (root, registry) = registry();
        let trained = prior("shop", DAY, 1.0);
        let version = registry.publish(&trained).unwrap();
        let file = root.path().join("models/prior/shop").join(version)
            .join(if is_model { "model" } else { "manifest.json" });
        let mut damaged = fs::read(&file).unwrap();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        for hostile in [&bytes[..], if is_cut { &damaged[..at] } else { &damaged }] {
            fs::write(&file, hostile).unwrap();
            let found = registry.newest("prior", "shop", None).unwrap();
            if let Some((_, model, _)) = found {
                prop_assert_eq!(model, &trained.bytes[..]);
            }
            registry.list().unwrap();
            registry.instances("prior").unwrap();
            registry.prune(1, &BTreeSet::new()).unwrap();
        }
    }
}
