use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::service::recovery::{Written, write_snapshot};

impl Bench {
    /// Everything that all points and definitions make, without any snapshot.
    async fn replayed(&self) -> String {
        let kept = self.memory();
        let mut connection = self.pool.acquire().await.unwrap();
        let bringing = kept.recovery.bring_up(&mut connection, &kept.memory);
        bringing.await.unwrap();
        drop(connection);
        kept.facts(self).await
    }

    async fn write(&self, kept: &Kept) -> Written {
        write_snapshot(&self.pool, &kept.memory).await.unwrap()
    }

    /// What a memory begins with that is made now: how many points, and changes.
    async fn begins_with(&self) -> (i64, i64) {
        let kept = self.memory();
        let begun = kept.recovery.begun_now().await.unwrap();
        let position = begun.position().unwrap();
        (position.sequence, position.changes)
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    async fn execute(&self, statement: &'static str) -> u64 {
        let done = sqlx::query(statement).execute(&self.pool).await.unwrap();
        done.rows_affected()
    }
}

/// Random logs and edits by several engines, transactions that are undone, snapshots by any of them,
/// some of which are abandoned in the middle.
#[tokio::test]
async fn a_snapshot_and_what_came_later_make_what_everything_makes() {
    const STEPS: usize = 120;
    let mut bench = Bench::create().await;
    let memories = [bench.memory(), bench.memory()];
    let (mut stored, mut used) = (0, 0);
    for _ in 0..STEPS {
        let step = match bench.random.random_range(0..20) {
            0 => Step::Definition(None),
            1 | 2 => Step::Definition(Some(bench.random.random_range(70..120))),
            _ => {
                let count = bench.random.random_range(1..30);
                Step::Points(bench.points(count))
            }
        };
        let commits = bench.random.random_bool(0.75);
        let chosen = &memories[bench.random.random_range(0..memories.len())];
        bench.step(chosen, &step, commits).await;
        match bench.random.random_range(0..6) {
            0 | 1 => stored += u32::from(bench.write(chosen).await == Written::Stored),
            2 => {
                let patience = Duration::from_micros(bench.random.random_range(0..20_000));
                let _ = timeout(patience, write_snapshot(&bench.pool, &chosen.memory)).await;
            }
            _ => {}
        }
        if bench.random.random_ratio(1, 4) {
            used += u32::from(bench.begins_with().await.0 > 0);
            let replayed = bench.replayed().await;
            assert_eq!(bench.memory().facts(&bench).await, replayed);
        }
    }
    assert!(stored > 10 && used > 10, "{stored} stored, {used} used");
    assert!(bench.count("select count(*) from snapshots").await <= 2);
    let unused = "select count(*) from snapshot_parts where hash not in (
                      select decode(hash, 'hex') from snapshots, regexp_matches(
                          manifest, '[0-9a-f]{64}', 'g') as found, unnest(found) as hash)";
    assert_eq!(bench.count(unused).await, 0);
}

#[tokio::test]
async fn a_snapshot_that_is_of_no_use_is_ignored() {
    let mut bench = Bench::create().await;
    let one = bench.memory();
    bench.step(&one, &Step::Definition(Some(80)), true).await;
    let points = Step::Points(bench.points(400));
    bench.step(&one, &points, true).await;
    let replayed = bench.replayed().await;
    for damage in [
        "update snapshot_parts set content = set_byte(content, 3, get_byte(content, 3) # 1)",
        "delete from snapshot_parts",
        "update snapshots set manifest = replace(manifest, '\"A', '\"B')",
        "update snapshots set checksum = '\\x00'",
        "update snapshots set format = format + 1",
        "update snapshots set evaluation = evaluation + 1",
        "update snapshots set changed_by = changed_by + 1",
        "update snapshots set changes = 0",
        "update snapshots set last_sequence = last_sequence + 1000000",
    ] {
        assert_eq!(bench.write(&one).await, Written::Stored, "{damage}");
        assert_eq!(bench.begins_with().await, (400, 1));
        assert!(bench.execute(damage).await > 0, "{damage}");
        assert_eq!(bench.begins_with().await, (0, 0), "{damage}");
        assert_eq!(bench.memory().facts(&bench).await, replayed);
        bench.execute("truncate snapshots, snapshot_parts").await;
    }
    // The one before is used in place of it.
    assert_eq!(bench.write(&one).await, Written::Stored);
    let points = Step::Points(bench.points(5));
    bench.step(&one, &points, true).await;
    assert_eq!(bench.write(&one).await, Written::Stored);
    assert_eq!(bench.begins_with().await, (405, 1));
    let newest = "update snapshots set checksum = '\\x00'
                  where snapshot = (select max(snapshot) from snapshots)";
    assert_eq!(bench.execute(newest).await, 1);
    assert_eq!(bench.begins_with().await, (400, 1));
}

#[tokio::test]
async fn a_snapshot_is_written_by_one_and_only_of_what_is_committed() {
    let mut bench = Bench::create().await;
    let (one, other) = (bench.memory(), bench.memory());
    bench.step(&one, &Step::Definition(Some(80)), true).await;
    let points = Step::Points(bench.points(400));
    bench.step(&one, &points, true).await;
    other.facts(&bench).await;
    let both = tokio::join!(bench.write(&one), bench.write(&other));
    let stored = [both.0, both.1].map(|written| written == Written::Stored);
    assert_eq!(
        stored.iter().filter(|stored| **stored).count(),
        1,
        "{both:?}"
    );
    assert_eq!(bench.write(&one).await, Written::NothingNew);
    assert_eq!(bench.write(&other).await, Written::NothingNew);

    let undone = Step::Points(bench.points(5));
    bench.step(&one, &undone, false).await;
    assert_eq!(bench.write(&one).await, Written::NotCommitted);
    assert_eq!(bench.begins_with().await, (400, 1));
    // Nothing of the past has changed: the parts of before are kept, and the last ones are new.
    let points = Step::Points(bench.points(5));
    bench.step(&one, &points, true).await;
    let before = bench.count("select count(*) from snapshot_parts").await;
    assert_eq!(bench.write(&one).await, Written::Stored);
    let after = bench.count("select count(*) from snapshot_parts").await;
    assert!(
        before < after && after <= before + 4,
        "{before} and {after}"
    );
}
