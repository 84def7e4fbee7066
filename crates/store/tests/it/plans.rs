//! Plans of any size are stored completely, in their order.

use sqlx::Row as _;
use testkit::{Submit, database};

/// Plans of this size and more are copied.
const LARGE: u32 = 50_000;

#[tokio::test]
async fn plans_of_any_size_are_stored_in_order() {
    let database = database().await.unwrap();
    for (targets, has_first_scripts) in [(1, false), (9, true), (LARGE - 1, false), (LARGE, true)] {
        let first_scripts: Vec<u16> = (0..3).cycle().take(targets as usize).collect();
        let submit = Submit {
            targets,
            gray: Some((1, 1)),
            first_scripts: has_first_scripts.then(|| first_scripts.clone()),
            ..Submit::default()
        };
        let plan = submit.plan().unwrap();
        let task_id = testkit::submit(&database.store, submit, crate::now()).await.unwrap();
        let row = sqlx::query(
            "SELECT count(*), count(DISTINCT desktop_id), min(ordinal), max(ordinal), count(*) FILTER (WHERE wave = 1),
                    array_agg(desktop_id ORDER BY ordinal), array_agg(first_script ORDER BY ordinal)
             FROM target WHERE task_id = $1",
        )
        .bind(task_id.0)
        .fetch_one(&mut database.connection().await.unwrap())
        .await
        .unwrap();
        let number = i64::from(targets);
        let counts = [0, 1, 4].map(|column| row.get::<i64, _>(column));
        assert_eq!(counts, [number, number, 1], "{targets}");
        // A difference would print every id.
        let stored: Vec<String> = row.get(5);
        assert!(stored.iter().map(String::as_str).eq(plan.order.iter().map(|id| id.as_str())), "{targets}");
        let expected = first_scripts
            .iter()
            .map(|&script| if has_first_scripts { i16::try_from(script).unwrap() } else { 0 });
        assert!(row.get::<Vec<i16>, _>(6).into_iter().eq(expected), "{targets}");
        let ordinals = [2, 3].map(|column| row.get::<i32, _>(column));
        assert_eq!(ordinals, [0, i32::try_from(targets).unwrap() - 1]);
    }
}
