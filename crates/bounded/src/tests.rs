//! The map against a list that does the same slowly.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u32),
    Get(u8),
    Peek(u8),
    GetOrInsert(u8, u32),
    Remove(u8),
    Pop,
    Limit(usize),
    SaveAndRead,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..12_u8;
    prop_oneof![
        (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
        key.clone().prop_map(Step::Get),
        key.clone().prop_map(Step::Peek),
        (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::GetOrInsert(key, value)),
        key.prop_map(Step::Remove),
        Just(Step::Pop),
        (1..8_usize).prop_map(Step::Limit),
        Just(Step::SaveAndRead),
    ]
}

/// What the map promises: entries from the least to the most recently used.
struct Model {
    entries: Vec<(String, u32)>,
    limit: usize,
}

impl Model {
    fn take(&mut self, key: &str) -> Option<u32> {
        let index = self.entries.iter().position(|(known, _)| known == key)?;
        Some(self.entries.remove(index).1)
    }

    fn get(&mut self, key: &str) -> Option<u32> {
        let value = self.take(key)?;
        self.entries.push((key.to_owned(), value));
        Some(value)
    }

    fn insert(&mut self, key: &str, value: u32) -> Option<(String, u32)> {
        self.take(key);
        self.entries.push((key.to_owned(), value));
        (self.entries.len() > self.limit).then(|| self.entries.remove(0))
    }
}

fn saved_and_read(map: &BoundedMap<String, u32>, limit: usize) -> BoundedMap<String, u32> {
    let bytes = rmp_serde::to_vec(map).expect("plain data");
    let mut read: BoundedMap<String, u32> = rmp_serde::from_slice(&bytes).expect("just written");
    read.set_limit(limit);
    assert_eq!(rmp_serde::to_vec(&read).expect("plain data"), bytes);
    read
}

proptest! {
    #[test]
    fn it_does_what_a_list_does(steps in prop::collection::vec(step(), 0..200)) {
        let mut map = BoundedMap::<String, u32>::new(4);
        let mut model = Model { entries: Vec::new(), limit: 4 };
        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    let key = key.to_string();
                    prop_assert_eq!(map.insert(key.clone(), value), model.insert(&key, value));
                }
                Step::Get(key) => {
                    let key = key.to_string();
                    prop_assert_eq!(map.get(key.as_str()).copied(), model.get(&key));
                }
                Step::Peek(key) => {
                    let key = key.to_string();
                    let known = model.entries.iter().find(|(known, _)| *known == key);
                    prop_assert_eq!(map.peek(key.as_str()), known.map(|(_, value)| value));
                }
                Step::GetOrInsert(key, value) => {
                    let key = key.to_string();
                    let expected = model.get(&key).unwrap_or_else(|| {
                        model.insert(&key, value);
                        value
                    });
                    prop_assert_eq!(*map.get_or_insert_with(key.as_str(), || value), expected);
                }
                Step::Remove(key) => {
                    let key = key.to_string();
                    prop_assert_eq!(map.remove(key.as_str()), model.take(&key));
                }
                Step::Pop => {
                    let oldest = (!model.entries.is_empty()).then(|| model.entries.remove(0));
                    prop_assert_eq!(map.pop_oldest(), oldest);
                }
                Step::Limit(limit) => {
                    map.set_limit(limit);
                    model.limit = limit;
                    let excess = model.entries.len().saturating_sub(limit);
                    model.entries.drain(..excess);
                }
                Step::SaveAndRead => map = saved_and_read(&map, model.limit),
            }
            let held: Vec<_> = map.iter().map(|(key, value)| (key.clone(), *value)).collect();
            prop_assert_eq!(&held, &model.entries);
            prop_assert!(map.len() <= model.limit);
        }
    }
}

#[test]
fn a_flood_costs_the_same_for_each_entry() {
    let mut map = BoundedMap::<String, usize>::new(1_000);
    for index in 0..200_000 {
        map.insert(index.to_string(), index);
    }
    assert_eq!((map.len(), map.evictions()), (1_000, 199_000));
    assert_eq!(map.oldest(), Some((&"199000".to_owned(), &199_000)));
}

#[test]
fn a_length_that_is_only_claimed_reserves_nothing() {
    // An array of 2^32 − 1 pairs, of which none follows.
    let bytes = [0xdd, 0xff, 0xff, 0xff, 0xff];
    assert!(rmp_serde::from_slice::<BoundedMap<String, u32>>(&bytes).is_err());
}
