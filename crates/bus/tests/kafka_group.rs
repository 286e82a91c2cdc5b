//! Reading from Kafka: partitions are shared and handed over, gaps are told, nothing is lost.

mod kafka_broker;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bus::{Bus, BusSettings, Delivery, GapReason, Member, Offset, Record, Turn};
use kafka_broker::Broker;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::timeout;

async fn open(settings: &BusSettings) -> Bus {
    Bus::open(settings, Path::new("/nowhere")).await.unwrap()
}

fn record(number: u64) -> Record {
    Record { payload: number.to_string().into_bytes().into(), ..Record::default() }
}

async fn next(member: &mut Member) -> Turn {
    timeout(Duration::from_secs(30), member.next()).await.expect("a turn").unwrap()
}

async fn join(bus: &Bus, starts: &[(u32, Offset)]) -> Member {
    let mut member = bus.join("detect").await.unwrap();
    assert!(matches!(next(&mut member).await, Turn::Assigned(_)));
    member.assign(starts).await.unwrap();
    member
}

async fn delivery(member: &mut Member) -> Delivery {
    match next(member).await {
        Turn::Delivery { delivery, .. } => delivery,
        other => panic!("{other:?}"),
    }
}

/// Reads as the lake does: positions and what was read change together, others take over there.
#[derive(Default)]
struct Store {
    positions: BTreeMap<u32, Offset>,
    read: BTreeMap<u32, Vec<Offset>>,
    handed_over: usize,
}

impl Store {
    async fn take(&mut self, member: &mut Member, turn: Turn) {
        match turn {
            Turn::Assigned(partitions) => {
                let from = |partition| {
                    (partition, self.positions.get(&partition).copied().unwrap_or_default())
                };
                let starts: Vec<_> = partitions.into_iter().map(from).collect();
                member.assign(&starts).await.unwrap();
            }
            Turn::Revoked(partitions) => {
                self.handed_over += partitions.len();
                member.release(&partitions).await.unwrap();
            }
            Turn::Lost(partitions) => panic!("{partitions:?} were lost"),
            Turn::Delivery { partition, delivery } => {
                self.positions.insert(partition, delivery.next());
                let Delivery::Record { offset, .. } = delivery else { panic!("{delivery:?}") };
                self.read.entry(partition).or_default().push(offset);
                member.commit(partition, Offset(offset.0 + 1)).await.unwrap();
            }
        }
    }

    fn count(&self) -> usize {
        self.read.values().map(Vec::len).sum()
    }
}

/// Drives members in turn until the store has so many records.
async fn read(store: &mut Store, members: &mut [Member], count: usize) {
    let begun = Instant::now();
    while store.count() < count {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} of {count}", store.count());
        for member in members.iter_mut() {
            if let Ok(turn) = timeout(Duration::from_millis(3), member.next()).await {
                store.take(member, turn.unwrap()).await;
            }
        }
    }
}

async fn append(bus: &Bus, records: u64) {
    for partition in 0..bus.partitions() {
        let records = (0..records).map(record).collect();
        bus.append(partition, records).await.unwrap();
    }
}

/// What an idle member's queues do not hold is left with the broker. A partition that somebody
/// else had meanwhile is read from its beginning.
#[tokio::test]
async fn a_partition_of_an_idle_member_may_have_much_and_come_back() {
    let Some(broker) = Broker::given() else { return };
    let settings = broker.settings(2);
    let (bus, other) = (open(&settings).await, open(&settings).await);
    let large = |number| Record { payload: vec![number; 4 << 20].into(), ..Record::default() };
    let mut member = join(&bus, &[(0, Offset(0)), (1, Offset(0))]).await;
    for number in 0..10 {
        bus.append(0, vec![large(number)]).await.unwrap();
        bus.append(1, vec![large(number)]).await.unwrap();
        member.idle(Duration::from_millis(100)).await.unwrap();
    }
    let mut second = other.join("detect").await.unwrap();
    while !member.has_change() {
        member.idle(Duration::from_millis(200)).await.unwrap();
        drop(second.next_within(Duration::from_millis(200)).await.unwrap());
    }
    let Turn::Revoked(moved) = next(&mut member).await else { panic!("a change comes first") };
    member.release(&moved).await.unwrap();
    second.leave().await.unwrap();
    let mut read = BTreeMap::<u32, Vec<u8>>::new();
    while read.values().map(Vec::len).sum::<usize>() < 20 {
        match next(&mut member).await {
            Turn::Assigned(partitions) => {
                assert_eq!(partitions, moved);
                let starts: Vec<_> = moved.iter().map(|part| (*part, Offset(0))).collect();
                member.assign(&starts).await.unwrap();
            }
            Turn::Delivery { partition, delivery: Delivery::Record { record, .. } } => {
                read.entry(partition).or_default().push(record.payload[0]);
            }
            other => panic!("{other:?}"),
        }
    }
    for partition in [0, 1] {
        assert_eq!(read[&partition], (0..10).collect::<Vec<_>>());
    }
    member.leave().await.unwrap();
    bus.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test]
async fn members_share_partitions_and_hand_them_over_without_loss_or_repetition() {
    let Some(broker) = Broker::given() else { return };
    let bus = open(&broker.settings(4)).await;
    let mut store = Store::default();
    let mut members = vec![bus.join("detect").await.unwrap()];
    append(&bus, 300).await;
    read(&mut store, &mut members, 700).await;
    members.push(bus.join("detect").await.unwrap());
    let begun = Instant::now();
    let mut total = 1200;
    while store.handed_over < 2 {
        // It goes on while the second one comes in.
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing was handed over");
        append(&bus, 10).await;
        total += 40;
        read(&mut store, &mut members, total - 200).await;
    }
    append(&bus, 100).await;
    total += 400;
    read(&mut store, &mut members, total).await;
    assert_eq!(store.handed_over, 2, "two of four partitions move, the others stay");
    let Bus::Kafka(kafka) = &bus else { panic!() };
    let found = kafka.inspect("detect").await.unwrap();
    assert_eq!(found.group_state.as_deref(), Some("Stable"));
    let mut shares: Vec<_> = found.members.iter().map(|member| member.partitions.len()).collect();
    shares.sort_unstable();
    assert_eq!(shares, [2, 2]);
    assert!(found.members[0].client_id.starts_with("querywatch-"));

    members.remove(0).leave().await.unwrap();
    append(&bus, 50).await;
    total += 200;
    read(&mut store, &mut members, total).await;
    let status = bus.status().kafka.unwrap();
    assert_eq!(status.assigned, [0, 1, 2, 3]);
    assert!(status.rebalances >= 4, "{status:?}");
    for (partition, offsets) in &store.read {
        let expected: Vec<_> = (0..total as u64 / 4).map(Offset).collect();
        assert_eq!(offsets, &expected, "partition {partition}");
    }
    members.remove(0).leave().await.unwrap();
    bus.shutdown().await.unwrap();
}

/// librdkafka waits for an answer for longer than the session lasts, and the member stays one.
#[tokio::test]
async fn an_answer_may_take_its_time() {
    let Some(broker) = Broker::given() else { return };
    let bus = open(&broker.settings(2)).await;
    append(&bus, 5).await;
    let mut member = bus.join("detect").await.unwrap();
    assert_eq!(next(&mut member).await, Turn::Assigned(vec![0, 1]));
    let wait = timeout(Duration::from_secs(8), member.next()).await;
    assert!(wait.is_err(), "{wait:?}");
    member.assign(&[(0, Offset(4)), (1, Offset(5))]).await.unwrap();
    let last = Delivery::Record { offset: Offset(4), record: record(4) };
    assert_eq!(delivery(&mut member).await, last);
    assert_eq!(bus.status().kafka.unwrap().rebalances, 1);
    member.leave().await.unwrap();
    bus.shutdown().await.unwrap();
}

#[tokio::test]
async fn idling_ends_early_when_a_change_is_to_be_answered() {
    let Some(broker) = Broker::given() else { return };
    let bus = open(&broker.settings(2)).await;
    append(&bus, 5).await;
    let mut first = join(&bus, &[(0, Offset(0)), (1, Offset(0))]).await;
    assert!(matches!(next(&mut first).await, Turn::Delivery { .. }));
    let mut second = bus.join("detect").await.unwrap();
    let begun = Instant::now();
    let (idled, joined) = tokio::join!(
        first.idle(Duration::from_secs(60)),
        timeout(Duration::from_secs(8), second.next()),
    );
    idled.unwrap();
    assert!(joined.is_err(), "the second one waits for the first one's answer");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let Turn::Revoked(partitions) = next(&mut first).await else { panic!() };
    first.release(&partitions).await.unwrap();
    let (_, turn) = tokio::join!(first.idle(Duration::from_secs(8)), next(&mut second));
    assert_eq!(turn, Turn::Assigned(partitions));
    let left = timeout(Duration::from_secs(20), first.leave()).await;
    left.expect("who idles with unread records can leave").unwrap();
    // Who leaves without an answer does not hold others up.
    second.leave().await.unwrap();
    let mut third = bus.join("detect").await.unwrap();
    assert_eq!(next(&mut third).await, Turn::Assigned(vec![0, 1]));
    drop(third);
    bus.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_retention_deleted_is_a_gap() {
    let Some(broker) = Broker::given() else { return };
    let (queue_bytes, record_bytes_max) = (2 << 20, 2 << 20);
    let settings = BusSettings { queue_bytes, record_bytes_max, ..broker.settings(1) };
    let bus = open(&settings).await;
    append(&bus, 20).await;
    let admin: AdminClient<DefaultClientContext> = broker.foreign().create().unwrap();
    let delete = async |before: i64| {
        let mut list = TopicPartitionList::new();
        let offset = rdkafka::Offset::Offset(before);
        list.add_partition_offset(&settings.kafka.topic, 0, offset).unwrap();
        admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    };
    delete(7).await;
    let mut member = join(&bus, &[(0, Offset(3))]).await;
    let gap = |from, to| {
        let (from, to) = (Offset(from), Offset(to));
        Delivery::Gap { from, to, reason: GapReason::Deleted }
    };
    assert_eq!(delivery(&mut member).await, gap(3, 7));
    for number in 7..20 {
        let expected = Delivery::Record { offset: Offset(number), record: record(number) };
        assert_eq!(delivery(&mut member).await, expected);
    }
    // Deleted before it is fetched: more than the queue holds is not, while nobody reads.
    let mut random = 1_u64;
    let mut byte = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 56) as u8
    };
    for _ in 0..10 {
        let payload: Vec<u8> = (0..1 << 20).map(|_| byte()).collect(); // which do not shrink
        let large = Record { payload: payload.into(), ..Record::default() };
        bus.append(0, vec![large]).await.unwrap();
    }
    member.idle(Duration::from_secs(1)).await.unwrap();
    append(&bus, 10).await;
    delete(35).await;
    let mut fetched = 20;
    let left = loop {
        match delivery(&mut member).await {
            Delivery::Record { offset, .. } => assert_eq!(offset, Offset(fetched)),
            left => break left,
        }
        fetched += 1;
    };
    assert!((21..30).contains(&fetched), "{fetched}");
    assert_eq!(left, gap(fetched, 35));
    let expected = Delivery::Record { offset: Offset(35), record: record(5) };
    assert_eq!(delivery(&mut member).await, expected);
    member.leave().await.unwrap();
    bus.shutdown().await.unwrap();
}

#[tokio::test]
async fn foreign_records_are_read_as_they_are() {
    let Some(broker) = Broker::given() else { return };
    let settings = broker.settings(1);
    let bus = open(&settings).await;
    let foreign: FutureProducer = broker.foreign().create().unwrap();
    let topic = &settings.kafka.topic;
    let wait = Duration::from_secs(10);
    let tombstone = FutureRecord::<[u8], [u8]>::to(topic).key(b"k").partition(0);
    foreign.send(tombstone, wait).await.unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "none", value: None::<&[u8]> })
        .insert(Header { key: "twice", value: Some(b"1") })
        .insert(Header { key: "twice", value: Some(b"2") });
    let odd = FutureRecord::<[u8], [u8]>::to(topic).payload(&[0xff, 0]).headers(headers);
    foreign.send(odd.partition(0), wait).await.unwrap();
    add_odd_header_name(&broker, topic);
    append(&bus, 1).await;

    let mut member = join(&bus, &[(0, Offset(0))]).await;
    let mut read = Vec::new();
    for _ in 0..4 {
        let Delivery::Record { record, .. } = delivery(&mut member).await else { panic!() };
        read.push(record);
    }
    assert_eq!(read[0], Record { key: b"k".to_vec(), ..Record::default() });
    let twice = |value: &[u8]| ("twice".to_owned(), value.to_vec());
    assert_eq!(read[1].headers, [("none".to_owned(), vec![]), twice(b"1"), twice(b"2")]);
    assert_eq!(read[1].payload, [0xff, 0][..]);
    assert_eq!(read[2].headers, [("fine".to_owned(), b"1".to_vec())]);
    assert_eq!(read[3], record(0));
    member.leave().await.unwrap();
    bus.shutdown().await.unwrap();
}

/// Appends a record with a header whose name is no UTF-8, and one whose name is.
#[expect(unsafe_code, reason = "the safe interface only takes names that are UTF-8")]
fn add_odd_header_name(broker: &Broker, topic: &str) {
    use rdkafka::bindings::{rd_kafka_header_add, rd_kafka_headers_t};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let mut headers = OwnedHeaders::new_with_capacity(2);
    let list: *mut rd_kafka_headers_t = headers_pointer(&headers);
    // SAFETY: `list` is the live list of `headers`, which outlives the call; name and value are
    // two bytes and one byte long, and are copied.
    let added = unsafe {
        rd_kafka_header_add(list, [0xff_u8, 0xfe].as_ptr().cast(), 2, b"0".as_ptr().cast(), 1)
    };
    assert_eq!(added as i32, 0);
    headers = headers.insert(Header { key: "fine", value: Some(b"1") });
    let producer: BaseProducer = broker.foreign().create().unwrap();
    let record = BaseRecord::<[u8], [u8]>::to(topic).payload(b"odd").partition(0);
    producer.send(record.headers(headers)).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
}

fn headers_pointer(headers: &OwnedHeaders) -> *mut rdkafka::bindings::rd_kafka_headers_t {
    std::ptr::from_ref(headers.as_borrowed()).cast_mut().cast()
}
