//! The tables of the database: records by id, and two indices over them, by state and by name. What runs inside a transaction.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::shared::{self, Joined, News, Touched, joined};
use super::table::{self, Record, Records, Snapshot};
use super::{Change, Key, Kind, Reap, State, StoreError, Timestamp, Upload};

/// Records as JSON: fields come and go without a new schema.
const UPLOADS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new(Upload::TABLE);
/// State and id: the live ones and the oldest finished ones are found without reading all records.
const BY_STATE: TableDefinition<'_, (u8, u128), ()> = TableDefinition::new("uploads_by_state");
/// Upload id, repository, branch.
const BY_NAME: TableDefinition<'_, (&str, &str, &str), u128> = TableDefinition::new("uploads_by_name");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SCHEMA: &str = "schema";

/// The schema this program writes.
pub(super) const KNOWN_SCHEMA: u64 = 1;

/// How many records there are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; State::ALL.len()]);

impl Counts {
    /// Those in one state.
    pub fn of(&self, state: State) -> u64 {
        self.0.get(state as usize).copied().unwrap_or(0)
    }

    /// Those of which more is to be expected.
    pub fn live(&self) -> u64 {
        let live = State::ALL.into_iter().filter(|state| state.is_live());
        live.map(|state| self.of(state)).sum()
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn add(&mut self, state: State) {
        if let Some(count) = self.0.get_mut(state as usize) {
            *count += 1;
        }
    }

    fn take(&mut self, state: State) {
        if let Some(count) = self.0.get_mut(state as usize) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Which records are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In one of these states; empty for all.
    pub states: Vec<State>,
    /// Of this repository.
    pub repository: Option<String>,
    /// Of this branch.
    pub branch: Option<String>,
    /// Last touched before this.
    pub updated_before: Option<Timestamp>,
    /// Known to lakeFS by an upload id, not ended by the gateway, and due at this time to be.
    pub reap_at: Option<Timestamp>,
}

impl Filter {
    fn passes(&self, upload: &Upload) -> bool {
        (self.states.is_empty() || self.states.contains(&upload.state))
            && self.repository.as_ref().is_none_or(|name| *name == upload.repository)
            && self.branch.as_ref().is_none_or(|name| *name == upload.branch)
            && self.updated_before.is_none_or(|time| upload.updated < time)
            && self.reap_at.is_none_or(|time| due(upload, time))
    }
}

fn due(upload: &Upload, time: Timestamp) -> bool {
    let waits = |reap: &Reap| reap.end.is_some() || reap.next > time;
    upload.upload_id.is_some() && upload.kind != Kind::Cpmpu && !upload.reap.as_ref().is_some_and(waits)
}

/// Written as an object with a member for each state.
impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(State::ALL.map(|state| (state.as_str(), self.of(state))))
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut counts = Self::default();
        for (state, count) in BTreeMap::<State, u64>::deserialize(deserializer)? {
            if let Some(known) = counts.0.get_mut(state as usize) {
                *known = count;
            }
        }
        Ok(counts)
    }
}

/// Sums over records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// How many in each state.
    pub counts: Counts,
    /// Bytes of the completed ones.
    pub completed_bytes: u64,
    /// When the oldest live one was created.
    pub oldest_live: Option<Timestamp>,
}

/// All tables, inside the writer's transaction.
pub(super) struct Tables<'t> {
    pub(super) place: &'t Arc<str>,
    /// What other replicas must hear of.
    pub(super) touched: &'t Touched,
    txn: &'t WriteTransaction,
    uploads: Table<'t, u128, &'static [u8]>,
    by_state: Table<'t, (u8, u128), ()>,
    by_name: Table<'t, (&'static str, &'static str, &'static str), u128>,
    /// Kept up with the changes.
    pub(super) counts: Counts,
    max_uploads: usize,
}

/// Makes the tables of a new file; refuses one of a newer schema.
pub(super) fn prepare(txn: &WriteTransaction, place: &Arc<str>) -> Result<(), StoreError> {
    let fail = |error: redb::Error| StoreError::of(place, error);
    let mut meta = txn.open_table(META).map_err(|error| fail(error.into()))?;
    let found = meta
        .get(SCHEMA)
        .map_err(|error| fail(error.into()))?
        .map(|found| found.value());
    match found {
        Some(found) if found > KNOWN_SCHEMA => {
            return Err(StoreError::Newer {
                place: Arc::clone(place),
                found,
                known: KNOWN_SCHEMA,
            });
        }
        Some(_) => {}
        None => drop(meta.insert(SCHEMA, KNOWN_SCHEMA).map_err(|error| fail(error.into()))?),
    }
    txn.open_table(UPLOADS).map_err(|error| fail(error.into()))?;
    txn.open_table(BY_STATE).map_err(|error| fail(error.into()))?;
    txn.open_table(BY_NAME).map_err(|error| fail(error.into()))?;
    table::prepare(txn, place)
}

impl<'t> Tables<'t> {
    pub(super) fn open(
        txn: &'t WriteTransaction,
        place: &'t Arc<str>,
        touched: &'t Touched,
        counts: Counts,
        max_uploads: usize,
    ) -> Result<Self, StoreError> {
        let fail = |error: redb::TableError| StoreError::of(place, error);
        Ok(Self {
            place,
            touched,
            txn,
            uploads: txn.open_table(UPLOADS).map_err(fail)?,
            by_state: txn.open_table(BY_STATE).map_err(fail)?,
            by_name: txn.open_table(BY_NAME).map_err(fail)?,
            counts,
            max_uploads,
        })
    }

    /// The table of another kind of record.
    pub(super) fn records<R: Record>(&self) -> Result<Records<'t, R>, StoreError> {
        Records::open(self.txn, self.place, self.touched)
    }

    fn fail(&self, error: redb::StorageError) -> StoreError {
        StoreError::of(self.place, error)
    }

    fn get(&self, id: u128) -> Result<Option<Upload>, StoreError> {
        let found = self.uploads.get(id).map_err(|error| self.fail(error))?;
        found.map(|found| decode(self.place, found.value())).transpose()
    }

    fn named(&self, upload: &Upload) -> Result<Option<u128>, StoreError> {
        let Some(upload_id) = &upload.upload_id else {
            return Ok(None);
        };
        self.find(upload_id, &upload.repository, &upload.branch)
    }

    fn find(&self, upload_id: &str, repository: &str, branch: &str) -> Result<Option<u128>, StoreError> {
        let found = self.by_name.get((upload_id, repository, branch));
        Ok(found.map_err(|error| self.fail(error))?.map(|id| id.value()))
    }

    /// Changes one record; answers it as it is now.
    pub(super) fn change(&mut self, key: &Key, change: &Change) -> Result<Option<Upload>, StoreError> {
        let id = match key {
            Key::Id(id) => Some(id.as_u128()),
            Key::Name {
                upload_id,
                repository,
                branch,
            } => self.find(upload_id, repository, branch)?,
        };
        let old = id.map(|id| self.get(id)).transpose()?.flatten();
        match change(old.clone()) {
            None => Ok(old),
            Some(new) => self.put(old.as_ref(), new).map(Some),
        }
    }

    /// Writes a record in place of `old`, keeps the indices right, and makes room if there is none. Of two records of one upload, the
    /// older one's id stays, on every replica.
    pub(super) fn put(&mut self, old: Option<&Upload>, mut new: Upload) -> Result<Upload, StoreError> {
        if let Some(twin) = self.named(&new)?.filter(|twin| *twin != new.id.as_u128())
            && let Some(other) = self.get(twin)?
        {
            self.remove(other.id.max(new.id).as_u128())?;
            new = new.merge(other);
        }
        let id = new.id.as_u128();
        let stored = match old {
            Some(old) if old.id == new.id => Some(old.clone()),
            _ => self.get(id)?,
        };
        match stored {
            Some(stored) => self.unindex(&stored)?,
            None => self.make_room()?,
        }
        self.index(&new)?;
        let json = serde_json::to_vec(&new).map_err(|error| unreadable(self.place, error))?;
        self.write(id, Some(&json), News::Own)?;
        Ok(new)
    }

    /// Writes or removes one, and takes down that it changed.
    fn write(&mut self, id: u128, json: Option<&[u8]>, news: News) -> Result<(), StoreError> {
        let old = match json {
            Some(json) => self.uploads.insert(id, json),
            None => self.uploads.remove(id),
        };
        let old = old.map_err(|error| StoreError::of(self.place, error))?;
        if old.is_some() || json.is_some() {
            let old = old.as_ref().map(redb::AccessGuard::value);
            self.touched.note(Upload::TABLE, id, old, json, news);
        }
        Ok(())
    }

    /// Merges another replica's version of a record with what is here.
    pub(super) fn join_upload(&mut self, id: u128, foreign: &[u8]) -> Result<(), StoreError> {
        let theirs = decode(self.place, foreign)?;
        if self.named(&theirs)?.is_some_and(|twin| twin != id) {
            let here = self.get(id)?;
            let whole = here.map_or_else(|| theirs.clone(), |here| here.merge(theirs.clone()));
            // Whatever comes of the two is news; and where the foreign one is the one to go, others must forget it too.
            self.put(None, whole)?;
            if self.get(id)?.is_none() {
                self.touched.note(Upload::TABLE, id, None, None, News::Own);
            }
            return Ok(());
        }
        let found = self.uploads.get(id).map_err(|error| self.fail(error))?;
        let here = found.map(|found| found.value().to_vec());
        let Joined { store, news } =
            joined(here.as_deref(), foreign, Upload::merge).map_err(|error| unreadable(self.place, error))?;
        let Some(json) = store else {
            if news != News::None {
                let here = here.as_deref();
                self.touched.note(Upload::TABLE, id, here, here, news);
            }
            return Ok(());
        };
        let new = decode(self.place, &json)?;
        match here {
            Some(here) => self.unindex(&decode(self.place, &here)?)?,
            None => self.make_room()?,
        }
        self.index(&new)?;
        self.write(id, Some(&json), news)
    }

    /// Forgets a record because other replicas have.
    pub(super) fn forget_upload(&mut self, id: u128) -> Result<(), StoreError> {
        let Some(old) = self.get(id)? else { return Ok(()) };
        self.unindex(&old)?;
        self.write(id, None, News::None)
    }

    /// Shows each record of a kind.
    pub(super) fn each(&self, kind: &'static str, show: impl FnMut(u128, &[u8])) -> Result<(), StoreError> {
        if kind == Upload::TABLE {
            return shared::each(&self.uploads, self.place, show);
        }
        let table = self.txn.open_table(shared::definition(kind));
        shared::each(
            &table.map_err(|error| StoreError::of(self.place, error))?,
            self.place,
            show,
        )
    }

    /// Forgets a record; tells whether there was one.
    pub(super) fn remove(&mut self, id: u128) -> Result<bool, StoreError> {
        let Some(old) = self.get(id)? else {
            return Ok(false);
        };
        self.unindex(&old)?;
        self.write(id, None, News::Own)?;
        Ok(true)
    }

    /// Forgets finished records last touched before `before`, the oldest first, at most `most`.
    pub(super) fn expire(&mut self, before: Timestamp, most: usize) -> Result<usize, StoreError> {
        let mut expired = Vec::new();
        for state in State::ALL.into_iter().filter(|state| !state.is_live()) {
            let ids = self.by_state.range(in_state(state)).map_err(|error| self.fail(error))?;
            for entry in ids {
                let (_, id) = entry.map_err(|error| self.fail(error))?.0.value();
                // Ids are in order of creation: nothing behind this one can have been touched long ago.
                if expired.len() >= most || created(id) >= before {
                    break;
                }
                if self.get(id)?.is_some_and(|upload| upload.updated < before) {
                    expired.push(id);
                }
            }
        }
        for id in &expired {
            self.remove(*id)?;
        }
        Ok(expired.len())
    }

    /// Drops the oldest record, a finished one if there is any, for as long as there is no room for one more.
    fn make_room(&mut self) -> Result<(), StoreError> {
        while self.counts.total() >= self.max_uploads as u64 {
            let finished = self.oldest(|state| !state.is_live())?;
            let Some(oldest) = finished.map_or_else(|| self.oldest(|_| true), |id| Ok(Some(id)))? else {
                break;
            };
            self.remove(oldest)?;
        }
        Ok(())
    }

    fn oldest(&self, wanted: impl Fn(State) -> bool) -> Result<Option<u128>, StoreError> {
        let mut oldest = None;
        for state in State::ALL.into_iter().filter(|state| wanted(*state)) {
            let mut ids = self.by_state.range(in_state(state)).map_err(|error| self.fail(error))?;
            if let Some(first) = ids.next() {
                let (_, id) = first.map_err(|error| self.fail(error))?.0.value();
                oldest = Some(oldest.map_or(id, |oldest: u128| oldest.min(id)));
            }
        }
        Ok(oldest)
    }

    fn index(&mut self, upload: &Upload) -> Result<(), StoreError> {
        let (place, id) = (self.place, upload.id.as_u128());
        self.by_state
            .insert((upload.state as u8, id), ())
            .map_err(|error| StoreError::of(place, error))?;
        if let Some(upload_id) = &upload.upload_id {
            self.by_name
                .insert((upload_id.as_str(), &*upload.repository, &*upload.branch), id)
                .map_err(|error| StoreError::of(place, error))?;
        }
        self.counts.add(upload.state);
        Ok(())
    }

    fn unindex(&mut self, upload: &Upload) -> Result<(), StoreError> {
        let (place, id) = (self.place, upload.id.as_u128());
        self.by_state
            .remove((upload.state as u8, id))
            .map_err(|error| StoreError::of(place, error))?;
        if let Some(upload_id) = &upload.upload_id {
            self.by_name
                .remove((upload_id.as_str(), &*upload.repository, &*upload.branch))
                .map_err(|error| StoreError::of(place, error))?;
        }
        self.counts.take(upload.state);
        Ok(())
    }
}

/// All tables, for one read at one moment.
pub(super) struct Reader<'p> {
    place: &'p Arc<str>,
    txn: &'p ReadTransaction,
    uploads: ReadOnlyTable<u128, &'static [u8]>,
    by_state: ReadOnlyTable<(u8, u128), ()>,
    by_name: ReadOnlyTable<(&'static str, &'static str, &'static str), u128>,
}

impl<'p> Reader<'p> {
    pub(super) fn open(txn: &'p ReadTransaction, place: &'p Arc<str>) -> Result<Self, StoreError> {
        let fail = |error: redb::TableError| StoreError::of(place, error);
        Ok(Self {
            place,
            txn,
            uploads: txn.open_table(UPLOADS).map_err(fail)?,
            by_state: txn.open_table(BY_STATE).map_err(fail)?,
            by_name: txn.open_table(BY_NAME).map_err(fail)?,
        })
    }

    fn fail(&self, error: redb::StorageError) -> StoreError {
        StoreError::of(self.place, error)
    }

    /// The table of another kind of record.
    pub(super) fn snapshot<R: Record>(&self) -> Result<Snapshot<'p, R>, StoreError> {
        Snapshot::open(self.txn, self.place)
    }

    /// How many records are in each state, counted one by one.
    pub(super) fn count(&self) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        for entry in self.by_state.iter().map_err(|error| self.fail(error))? {
            let (state, _) = entry.map_err(|error| self.fail(error))?.0.value();
            if let Some(state) = State::ALL.get(usize::from(state)) {
                counts.add(*state);
            }
        }
        Ok(counts)
    }

    /// Shows each record of a kind.
    pub(super) fn each(&self, kind: &'static str, show: impl FnMut(u128, &[u8])) -> Result<(), StoreError> {
        let table = self.txn.open_table(shared::definition(kind));
        shared::each(
            &table.map_err(|error| StoreError::of(self.place, error))?,
            self.place,
            show,
        )
    }

    /// One record of a kind, as JSON.
    pub(super) fn raw(&self, kind: &'static str, id: u128) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.txn.open_table(shared::definition(kind));
        let table = table.map_err(|error| StoreError::of(self.place, error))?;
        let found = table.get(id).map_err(|error| self.fail(error))?;
        Ok(found.map(|found| found.value().to_vec()))
    }

    pub(super) fn by_id(&self, id: u128) -> Result<Option<Upload>, StoreError> {
        let found = self.uploads.get(id).map_err(|error| self.fail(error))?;
        found.map(|found| decode(self.place, found.value())).transpose()
    }

    pub(super) fn by_upload_id(&self, upload_id: &str) -> Result<Vec<Upload>, StoreError> {
        let mut uploads = Vec::new();
        let from = (upload_id, "", "");
        for entry in self.by_name.range(from..).map_err(|error| self.fail(error))? {
            let (name, id) = entry.map_err(|error| self.fail(error))?;
            if name.value().0 != upload_id {
                break;
            }
            uploads.extend(self.by_id(id.value())?);
        }
        Ok(uploads)
    }

    /// At most `limit` records that pass, newest first.
    pub(super) fn scan(&self, filter: &Filter, limit: usize) -> Result<Vec<Upload>, StoreError> {
        let mut found = Vec::new();
        if filter.states.is_empty() {
            self.newest_first(None, |upload| keep(&mut found, limit, filter, upload))?;
        }
        for state in &filter.states {
            let mut of_state = Vec::new();
            self.newest_first(Some(*state), |upload| keep(&mut of_state, limit, filter, upload))?;
            found.append(&mut of_state);
        }
        found.sort_by_key(|upload| std::cmp::Reverse(upload.id));
        found.dedup_by_key(|upload| upload.id);
        found.truncate(limit);
        Ok(found)
    }

    pub(super) fn stats(&self, filter: &Filter) -> Result<Stats, StoreError> {
        let mut stats = Stats::default();
        self.newest_first(None, |upload| {
            if filter.passes(&upload) {
                stats.counts.add(upload.state);
                stats.completed_bytes = stats.completed_bytes.saturating_add(upload.bytes.unwrap_or(0));
                if upload.state.is_live() {
                    stats.oldest_live = Some(upload.created);
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(stats)
    }

    /// Shows each record, of one state or of all, the newest first, until told to stop.
    fn newest_first(
        &self,
        state: Option<State>,
        mut each: impl FnMut(Upload) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        match state {
            Some(state) => {
                let ids = self.by_state.range(in_state(state)).map_err(|error| self.fail(error))?;
                for entry in ids.rev() {
                    let (_, id) = entry.map_err(|error| self.fail(error))?.0.value();
                    if self.by_id(id)?.is_some_and(|upload| each(upload).is_break()) {
                        break;
                    }
                }
            }
            None => {
                for entry in self.uploads.iter().map_err(|error| self.fail(error))?.rev() {
                    let found = entry.map_err(|error| self.fail(error))?.1;
                    if each(decode(self.place, found.value())?).is_break() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

fn keep(found: &mut Vec<Upload>, limit: usize, filter: &Filter, upload: Upload) -> ControlFlow<()> {
    if found.len() >= limit {
        return ControlFlow::Break(());
    }
    if filter.passes(&upload) {
        found.push(upload);
    }
    ControlFlow::Continue(())
}

fn in_state(state: State) -> std::ops::RangeInclusive<(u8, u128)> {
    (state as u8, 0)..=(state as u8, u128::MAX)
}

/// When a record with this id (UUID version 7) was made.
fn created(id: u128) -> Timestamp {
    let millis = Uuid::from_u128(id).get_timestamp().map_or(0, |time| {
        let (seconds, nanos) = time.to_unix();
        seconds.saturating_mul(1000) + u64::from(nanos / 1_000_000)
    });
    Timestamp(millis)
}

fn decode(place: &Arc<str>, json: &[u8]) -> Result<Upload, StoreError> {
    serde_json::from_slice(json).map_err(|error| unreadable(place, error))
}

pub(super) fn unreadable(place: &Arc<str>, error: serde_json::Error) -> StoreError {
    StoreError::Record {
        place: Arc::clone(place),
        source: Arc::new(error),
    }
}
