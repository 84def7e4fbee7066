//! Plans of any size are stored completely, in their order.

use sqlx::Row as _;
use testkit::{Submit, database};

/// Plans of this size and more are copied.
const LARGE: u32 = 50_000;

#[tokio::test]
async fn plans_of_any_size_are_stored_in_order() {
    let database = database().await.unwrap();
    for targets in [1, 9, LARGE - 1, LARGE] {
        let submit = Submit { targets, gray: Some((1, 1)), ..Submit::default() };
        let task_id = testkit::submit(&database.store, submit, crate::now()).await.unwrap();
        let row = sqlx::query(
            "SELECT count(*), count(DISTINCT desktop_id), min(ordinal), max(ordinal), count(*) FILTER (WHERE wave = 1),
                    count(*) FILTER (WHERE first_script = 0)
             FROM target WHERE task_id = $1",
        )
        .bind(task_id.0)
        .fetch_one(&mut database.connection().await.unwrap())
        .await
        .unwrap();
        let number = i64::from(targets);
        let counts = [0, 1, 4, 5].map(|column| row.get::<i64, _>(column));
        assert_eq!(counts, [number, number, 1, number], "{targets}");
        let ordinals = [2, 3].map(|column| row.get::<i32, _>(column));
        assert_eq!(ordinals, [0, i32::try_from(targets).unwrap() - 1]);
    }
}
