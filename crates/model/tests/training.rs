//! What a trainer makes of days: the same bytes in any order, and figures that can be checked by
//! hand.

use std::time::Instant;

use model::{DayProfile, Family, Model, PeerGroups, Prior, Share, TrainSettings, Trained, Trainer};
use proptest::prelude::*;

fn profile(identity: &str, day: i32, values: &[(Family, &str)]) -> DayProfile {
    DayProfile {
        instance: String::from("shop"),
        identity: String::from(identity),
        day,
        kind: String::from("person"),
        active_days: 20,
        sessions: 1,
        statements: 10,
        values: values.iter().map(|(family, value)| (*family, String::from(*value))).collect(),
        ..DayProfile::default()
    }
}

fn trainer(profiles: impl IntoIterator<Item = DayProfile>, settings: TrainSettings) -> Trainer {
    let mut trainer = Trainer::new(settings);
    profiles.into_iter().for_each(|profile| trainer.add(profile));
    trainer
}

fn models(trained: &[Trained]) -> (Prior, PeerGroups) {
    match [trained[0].load().unwrap(), trained[1].load().unwrap()] {
        [Model::Prior(prior), Model::Peers(peers)] => (prior, peers),
        other => panic!("{other:?}"),
    }
}

fn trained(profiles: impl IntoIterator<Item = DayProfile>, day: i32) -> (Prior, PeerGroups) {
    models(&trainer(profiles, TrainSettings::default()).train(day, "shop"))
}

#[test]
fn share_counts_identities_of_the_last_28_days() {
    let orders = [(Family::Table, "orders")];
    let days = [
        profile("old", 100, &orders),
        profile("ann", 101, &orders),
        profile("ann", 102, &orders),
        profile("bob", 128, &[(Family::Statement, "orders")]),
        profile("late", 129, &orders),
    ];
    let (prior, _) = trained(days, 128);
    assert_eq!(prior.share(Family::Table, "orders"), Share { holders: 1, identities: 2 });
    assert_eq!(prior.share(Family::Statement, "orders"), Share { holders: 1, identities: 2 });
    assert_eq!(prior.share(Family::Table, "other"), Share { holders: 0, identities: 2 });
}

#[test]
fn the_rarest_values_are_dropped_and_counted() {
    let settings = TrainSettings { values_max: 2, ..TrainSettings::default() };
    let (a, b, c) = ((Family::Table, "a"), (Family::Table, "b"), (Family::Table, "c"));
    let days = [profile("ann", 1, &[a, b, c]), profile("bob", 1, &[c])];
    let (prior, _) = models(&trainer(days, settings).train(1, "shop"));
    let held = ["a", "b", "c"].map(|table| prior.share(Family::Table, table).holders);
    assert_eq!(held, [1, 0, 2]);
    assert_eq!(prior.evaluation()["values_dropped"], 1.0);
}

#[test]
fn novelty_is_the_share_of_days_and_never_zero() {
    let days = (1..=28).flat_map(|day| {
        let names = (0..10).map(|number| format!("person{number}")).collect::<Vec<_>>();
        names.into_iter().map(move |name| {
            let mut profile = profile(&name, day, &[(Family::Table, "orders")]);
            profile.new_values[Family::Table as usize] = u32::from(day % 4 == 0);
            profile
        })
    });
    let mut days: Vec<DayProfile> = days.collect();
    // Three newcomers: two touch what the others touch, one has a table of its own.
    for (name, table) in [("new1", "orders"), ("new2", "orders"), ("new3", "own")] {
        let mut newcomer = profile(name, 28, &[(Family::Table, table)]);
        newcomer.active_days = 1;
        days.push(newcomer);
    }
    let (prior, _) = trained(days, 28);
    let established = prior.novelty("person", Family::Table, false);
    assert!((established - 0.25).abs() < 0.01, "{established}");
    let newcomer = prior.novelty("person", Family::Table, true);
    assert!((0.3..0.4).contains(&newcomer), "{newcomer}");
    let never = prior.novelty("person", Family::Network, false);
    assert!((0.5 / 281.0..0.01).contains(&never), "{never}");
    let unknown_kind = prior.novelty("service", Family::Table, false);
    assert!((unknown_kind - established).abs() < 0.01, "{unknown_kind}");
    let nothing_known = Prior::default().novelty("person", Family::Table, false);
    assert_eq!(nothing_known, 0.5);
    let figures = prior.evaluation();
    assert_eq!(figures["new_table_observed"], 10.0);
    assert!((figures["new_table_expected"] - 10.0 * 60.0 / 270.0).abs() < 0.1, "{figures:?}");
}

#[test]
fn a_share_budget_of_days_lies_above_the_threshold() {
    let scored = |count: usize| {
        (0..count).map(|number| {
            let mut profile = profile(&format!("p{number}"), 1, &[]);
            profile.score = number as f64;
            profile
        })
    };
    let (few, _) = trained(scored(199), 1);
    assert_eq!(few.score_threshold(0.01), None);
    let (many, _) = trained(scored(20_000), 1);
    for budget in [0.0, 0.000_1, 0.01, 0.04, 0.3, 0.9999] {
        let threshold = many.score_threshold(budget).expect("many days");
        let above = 19_999.0 - threshold;
        assert!(above <= budget * 20_000.0, "{budget}: {above}");
        assert!(above >= budget * 20_000.0 * 0.98 - 1.0, "{budget}: {above}");
    }
    assert_eq!(many.days_scored(), 20_000);
    assert_eq!(many.score_threshold(f64::NAN), Some(19_999.0));
    assert_eq!(many.score_threshold(2.0), Some(0.0));
}

#[test]
fn the_share_of_days_below_each_chance_is_measured() {
    let days = (0..1_000).map(|number| {
        let mut profile = profile(&format!("p{number}"), 1, &[]);
        // As it should be but for one: 100 above 1, 10 above 2, 2 above 3.
        profile.score = match number {
            0..2 => 3.5,
            2..10 => 2.5,
            10..100 => 1.5,
            _ => 0.2,
        };
        profile
    });
    let trained = trainer(days, TrainSettings::default()).train(1, "shop");
    let manifest = &trained.iter().find(|trained| trained.kind == "prior").expect("one").manifest;
    let expected = [(0.1, 0.1), (0.01, 0.01), (0.001, 0.002), (0.000_1, 0.0)];
    assert_eq!(manifest.calibration(), expected);
}

#[test]
fn peers_part_two_obvious_groups() {
    let mut days = Vec::new();
    for number in 0..20 {
        for day in 1..=5 {
            let clerk = [(Family::Table, "orders"), (Family::Command, "SELECT")];
            days.push(profile(&format!("clerk{number:02}"), day, &clerk));
            let robot = [(Family::Table, "ledger"), (Family::Command, "INSERT")];
            let mut robot = profile(&format!("robot{number:02}"), day, &robot);
            (robot.statements, robot.rows, robot.hours) = (90_000, 4_000_000, 0b111);
            days.push(robot);
        }
    }
    days.push(profile("clerk00", 5, &[(Family::Table, "salaries")]));
    let (_, peers) = trained(days, 5);
    let group = |name: &str| peers.group_of(name).expect("a member");
    for number in 0..20 {
        for other in 0..20 {
            let (clerk, robot) = (format!("clerk{number:02}"), format!("robot{other:02}"));
            assert_ne!(group(&clerk), group(&robot));
        }
    }
    let clerks_of_01 = peers.peer_share("clerk01", Family::Table, "orders").expect("peers");
    assert_eq!(clerks_of_01.holders, clerks_of_01.identities);
    assert_eq!(peers.peer_share("robot01", Family::Table, "orders").map(|s| s.holders), Some(0));
    assert_eq!(peers.peer_share("nobody", Family::Table, "orders"), None);
    let figures = peers.evaluation();
    assert!(figures["peer_share_mean"] > 0.9 && figures["others_share_mean"] < 0.6, "{figures:?}");
}

#[test]
fn an_identity_is_not_its_own_peer() {
    let orders = (Family::Table, "orders");
    let days = [
        profile("ann", 1, &[orders, (Family::Table, "own")]),
        profile("bob", 1, &[orders]),
        profile("cid", 1, &[]),
    ];
    let (_, peers) = trained(days, 1);
    let share = |name, table| peers.peer_share(name, Family::Table, table).map(|s| s.holders);
    assert_eq!(share("ann", "orders"), Some(1));
    assert_eq!(share("cid", "orders"), Some(2));
    assert_eq!(share("ann", "own"), Some(0));
    let (_, alone) = trained([profile("ann", 1, &[orders])], 1);
    assert_eq!(
        (alone.group_of("ann"), alone.peer_share("ann", Family::Table, "orders")),
        (Some(0), None)
    );
}

#[test]
fn without_recent_days_there_is_no_model() {
    let trainer = trainer([profile("ann", 1, &[])], TrainSettings::default());
    assert_eq!(trainer.train(29, "shop"), []);
    assert_eq!(trainer.train(0, "shop"), []);
    assert_eq!(trainer.train(1, "other"), []);
    assert_eq!(trainer.train(28, "shop").len(), 2);
    trainer.train(i32::MIN, "shop");
    trainer.train(i32::MAX, "shop");
}

fn any_profile() -> impl Strategy<Value = DayProfile> {
    let value = (0..Family::COUNT, 0..6_u8);
    let values = proptest::collection::vec(value, 0..5);
    let who = (0..2_u8, 0..12_u8, 0..40_i32, 0..2_u8, 0..12_u32);
    (who, values, 0..1_000_u64, -5.0..50.0_f64).prop_map(|(who, values, count, score)| {
        let (instance, identity, day, kind, active_days) = who;
        DayProfile {
            instance: format!("db{instance}"),
            identity: format!("user{identity}"),
            day,
            kind: format!("kind{kind}"),
            active_days,
            statements: count % 7,
            rows: count,
            hours: count as u32,
            values: values
                .iter()
                .map(|(family, value)| (Family::ALL[*family], format!("v{value}")))
                .collect(),
            new_values: [count as u32 % 2; 5],
            score,
            ..DayProfile::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_order_of_adding_does_not_matter(
        (profiles, shuffled) in proptest::collection::vec(any_profile(), 1..200)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        // Limits that are reached, so that what is left out does not depend on the order either.
        let settings =
            TrainSettings { days: 9, identities_max: 8, instances_max: 1, values_max: 12 };
        let one = trainer(profiles, settings.clone());
        let other = trainer(shuffled, settings);
        for (instance, day) in [("db0", 39), ("db1", 39), ("db0", 36), ("db1", 36)] {
            prop_assert_eq!(one.train(day, instance), other.train(day, instance));
        }
    }

    #[test]
    fn any_bytes_are_a_model_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for kind in ["prior", "peers", "other"] {
            for start in [&[][..], &[1]] {
                let _ = Model::decode(kind, &[start, &bytes].concat());
            }
        }
    }

    #[test]
    fn a_damaged_model_answers_without_panic(at in any::<prop::sample::Index>(), byte: u8) {
        let days = (0..8).map(|n| profile(&format!("p{n}"), 1, &[(Family::Table, "orders")]));
        for trained in trainer(days, TrainSettings::default()).train(1, "shop") {
            let mut bytes = trained.bytes.clone();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            match Model::decode(trained.kind, &bytes) {
                Ok(Model::Prior(prior)) => {
                    prior.share(Family::Table, "orders");
                    prior.novelty("person", Family::Table, true);
                    prior.score_threshold(0.5);
                }
                Ok(Model::Peers(peers)) => {
                    peers.peer_share("p1", Family::Table, "orders");
                }
                Err(_) => {}
            }
        }
    }
}

#[test]
fn twenty_thousand_identities_train_in_seconds() {
    let started = Instant::now();
    let mut trainer = Trainer::new(TrainSettings::default());
    for day in 1..=5 {
        for number in 0..20_000_u64 {
            let (role, own) = (number % 9, number * 7 % 3_000);
            let values: Vec<(Family, String)> = (0..6)
                .map(|table| (Family::Table, format!("role{role}.table{table}")))
                .chain((0..12).map(|n| (Family::Statement, format!("{:016x}", role * 100 + n))))
                .chain([(Family::Statement, format!("own{own}"))])
                .chain([(Family::Command, String::from("SELECT"))])
                .collect();
            let mut profile = profile(&format!("user{number:05}"), day, &[]);
            profile.values = values;
            (profile.statements, profile.score) = (number % 500, number as f64);
            trainer.add(profile);
        }
    }
    let (added, started) = (started.elapsed(), Instant::now());
    let trained = trainer.train(5, "shop");
    let took = started.elapsed();
    let sizes: Vec<usize> = trained.iter().map(|trained| trained.bytes.len()).collect();
    // Shown with `--nocapture`: the figure depends on the machine and is no promise.
    #[expect(clippy::print_stdout, reason = "a figure for the reader of the test")]
    {
        println!("100,000 days added in {added:?}, trained in {took:?}, bytes {sizes:?}");
    }
    let (prior, peers) = models(&trained);
    assert_eq!(prior.identities(), 20_000);
    assert_eq!(prior.share(Family::Table, "role3.table0").holders, 2_222);
    let figures = peers.evaluation();
    assert!(figures["peer_share_mean"] > 0.8 && figures["others_share_mean"] < 0.2, "{figures:?}");
}
