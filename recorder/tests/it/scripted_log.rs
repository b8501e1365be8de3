//! A log whose records are a function of their offset, so that every process sees the same one and what is in the
//! lake can be compared with it byte for byte. Only where it ends is state: a file, or a number.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tallyport_eventlog::{AppendError, Entry, Log, LogId, Position, ReadError, Record, Topic};
use tallyport_schemas::{
    Body, Context, Draft, EventId, Integrity, Principal, PrincipalKind, Producer, ProducerId,
    Session, SessionId, ocsf,
};

/// Every so many records one is no event.
pub const GARBAGE_EVERY: u64 = 97;

/// Records of one ingest day.
const PER_DAY: u64 = 1_000;
const DAY_MS: i64 = 86_400_000;
const FIRST_MS: i64 = 1_790_000_000_000;
const PRINCIPALS: u64 = 7;

/// Records of one read: making them takes time.
const MOST_PER_READ: usize = 500;

#[derive(Debug)]
pub struct ScriptedLog {
    id: LogId,
    ends: Vec<PathBuf>,
    pub earliest: AtomicU64,
    pub unavailable: AtomicBool,
    pub damaged_at: AtomicU64,
    pub released: AtomicU64,
    pub short_of_room: AtomicBool,
    /// Another log has its name now: every record is another one.
    pub made_anew: AtomicBool,
    /// From here on it is another one than the log that it was copied from.
    forked_at: u64,
    /// Since it was opened.
    pub added: AtomicU32,
    /// Ranges that it lost.
    pub lost: Mutex<Vec<(u64, u64)>>,
    /// So many answers about its end come from a broker that knows of nothing yet.
    pub lagging: AtomicU64,
}

impl ScriptedLog {
    /// The log of `dir`, where other processes see it too.
    pub fn open(dir: &Path, partitions: u32) -> Arc<Self> {
        Arc::new(Self::of(dir, partitions))
    }

    /// A copy of a log, as it was when that ended at `end`; it goes its own way in `dir`.
    pub fn copy(of: &Self, dir: &Path, end: u64) -> Arc<Self> {
        let partitions = u32::try_from(of.ends.len()).unwrap();
        let copy = Self { id: of.id.clone(), forked_at: end, ..Self::of(dir, partitions) };
        copy.set_end(0, end);
        Arc::new(copy)
    }

    fn of(dir: &Path, partitions: u32) -> Self {
        let ends = (0..partitions).map(|number| dir.join(format!("end-{number}"))).collect();
        Self {
            id: LogId::new("scripted", &dir.to_string_lossy()),
            ends,
            earliest: AtomicU64::new(0),
            unavailable: AtomicBool::new(false),
            damaged_at: AtomicU64::new(u64::MAX),
            released: AtomicU64::new(0),
            short_of_room: AtomicBool::new(false),
            made_anew: AtomicBool::new(false),
            forked_at: u64::MAX,
            added: AtomicU32::new(0),
            lost: Mutex::default(),
            lagging: AtomicU64::new(0),
        }
    }

    pub fn set_end(&self, partition: u32, end: u64) {
        let path = &self.ends[partition as usize];
        let staged = path.with_extension("new");
        std::fs::write(&staged, end.to_string()).unwrap();
        std::fs::rename(&staged, path).unwrap();
    }

    pub fn end(&self, partition: u32) -> u64 {
        std::fs::read_to_string(&self.ends[partition as usize])
            .map_or(0, |text| text.parse().unwrap())
    }

    fn check(&self) -> Result<(), ReadError> {
        match self.unavailable.load(Ordering::SeqCst) {
            true => Err(ReadError::Unavailable { reason: "scripted outage".to_owned() }),
            false => Ok(()),
        }
    }
}

pub fn is_garbage(offset: u64) -> bool {
    offset % GARBAGE_EVERY == GARBAGE_EVERY / 2
}

pub fn subject(offset: u64) -> String {
    format!("agent-{}", offset % PRINCIPALS)
}

pub fn value(partition: u32, offset: u64) -> Vec<u8> {
    if is_garbage(offset) {
        return format!("no event: {partition}/{offset}").into_bytes();
    }
    let bits = (u128::from(partition) << 64) | u128::from(offset) | (7_u128 << 76) | (2_u128 << 62);
    let id = uuid::Uuid::from_u128(bits);
    let context = Context {
        session_id: Some(SessionId::from_uuid(id)),
        principal: Some(Principal {
            issuer: "https://issuer.example".to_owned(),
            subject: subject(offset),
            display_name: subject(offset),
            kind: PrincipalKind::Agent,
            groups: Vec::new(),
            owner: None,
        }),
        ..Context::default()
    };
    let body = match offset % 3 {
        0 => Body::Integrity(Integrity::ProducerStopped { events: offset }),
        _ => Body::Session(Session::Opened {
            expires_at: None,
            application: None,
            parameters: BTreeMap::new(),
        }),
    };
    let mut draft = Draft::new(context.into(), None, body);
    draft.event_id = EventId::from_uuid(id);
    draft.time = "2026-11-22T12:00:00Z".parse().unwrap();
    let id = ProducerId::parse(format!("producer-{partition}")).unwrap();
    ocsf::encode(&draft.at(Producer { id, epoch: 1, seq: offset }))
}

pub fn appended_at_ms(offset: u64) -> i64 {
    FIRST_MS + i64::try_from(offset / PER_DAY).unwrap() * DAY_MS
}

fn entry(partition: u32, offset: u64) -> Entry {
    Entry {
        position: Position { partition, offset },
        key: Bytes::from(format!("key-{offset}")),
        value: value(partition, offset).into(),
        appended_at_ms: appended_at_ms(offset),
    }
}

#[async_trait]
impl Log for ScriptedLog {
    fn id(&self) -> &LogId {
        &self.id
    }

    async fn append(&self, _: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        Err(AppendError::Refused { reason: "scripted".to_owned() })
    }

    fn is_short_of_room(&self) -> bool {
        self.short_of_room.load(Ordering::SeqCst)
    }

    fn partitions(&self, _: Topic) -> u32 {
        u32::try_from(self.ends.len()).unwrap()
    }

    async fn partitions_now(&self, topic: Topic) -> Result<u32, ReadError> {
        Ok(self.partitions(topic) + self.added.load(Ordering::SeqCst))
    }

    fn lost(&self, _: Topic) -> Vec<(u64, u64)> {
        self.lost.lock().unwrap().clone()
    }

    async fn read(
        &self,
        _: Topic,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, ReadError> {
        self.check()?;
        let (partition, wanted) = (from.partition, from.offset);
        let damaged = self.damaged_at.load(Ordering::SeqCst);
        if wanted >= damaged {
            let reason = "scripted damage".to_owned();
            return Err(ReadError::Damaged { partition, offset: wanted, reason });
        }
        let until = Instant::now() + wait;
        while self.end(partition) <= wanted && Instant::now() < until {
            self.check()?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // After the wait: what was dropped meanwhile is not given.
        let earliest = self.earliest.load(Ordering::SeqCst);
        if wanted < earliest {
            return Err(ReadError::Truncated { partition, wanted, earliest });
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for offset in wanted..self.end(partition).min(damaged) {
            let mut next = entry(partition, offset);
            if self.made_anew.load(Ordering::SeqCst) || offset >= self.forked_at {
                next.value = value(partition + 1, offset).into();
            }
            bytes += next.value.len();
            if (bytes > max_bytes && !entries.is_empty()) || entries.len() >= MOST_PER_READ {
                break;
            }
            entries.push(next);
        }
        Ok(entries)
    }

    async fn earliest(&self, _: Topic, _: u32) -> Result<u64, ReadError> {
        self.check()?;
        Ok(self.earliest.load(Ordering::SeqCst))
    }

    async fn latest(&self, _: Topic, partition: u32) -> Result<u64, ReadError> {
        self.check()?;
        let knows_less = |left: u64| left.checked_sub(1);
        match self.lagging.fetch_update(Ordering::SeqCst, Ordering::SeqCst, knows_less) {
            Ok(_) => Ok(0),
            Err(_) => Ok(self.end(partition)),
        }
    }

    async fn release(&self, _: Topic, upto: Position) -> Result<(), ReadError> {
        self.released.fetch_max(upto.offset, Ordering::SeqCst);
        Ok(())
    }
}
