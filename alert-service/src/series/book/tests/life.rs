//! What a book keeps of rules and series, and for how long.

use super::*;

#[test]
fn equal_conditions_share_one_evaluation_and_go_with_the_last_rule() {
    let mut book = Book::default();
    let watched = watched(&Naive::Spread(1).condition()).unwrap();
    for id in ["a", "b"] {
        for series in book.lacks(&watched).0 {
            load(&mut book, &series, &Series::new(), true);
        }
        book.put(id, &watched).unwrap();
    }
    assert_eq!(book.runs.iter().flatten().count(), 1);
    book.remove("a");
    assert!(book.reads("A"));
    book.remove("b");
    assert!(!book.reads("A"));
    assert_eq!(held(&book, "A"), 0);
    assert!(book.runs.iter().flatten().next().is_none() && book.by_key.is_empty());
}

fn held(book: &Book, series: &str) -> usize {
    let place = book.place(series).unwrap();
    book.store.get(place).dates().len()
}

#[test]
fn a_series_is_unloaded_with_the_last_rule_and_cut_with_the_last_expression() {
    let stored: Series = (0..80)
        .map(|date| {
            let value = Some(Decimal::from(date % 7));
            let known_from = at(1);
            (day(date), Future { known_from, value })
        })
        .collect();
    let of = |rule: Naive| watched(&rule.condition()).unwrap();
    let rules = [
        ("falls".to_owned(), of(Naive::Falls(6))),
        ("level".to_owned(), of(Naive::Gt(5))),
    ];
    let mut book = made_anew(&rules, &stored, &Series::new());
    assert_eq!(held(&book, "A"), seen(&stored, reached(&stored)).len());
    // What is put again in place of itself keeps what it reads.
    book.put("falls", &rules[0].1).unwrap();
    assert!(held(&book, "A") > 2 * TAIL);
    book.remove("falls");
    assert_eq!(held(&book, "A"), TAIL);
    assert!(book.is_cut("A"));
    assert_eq!(book.lacks(&rules[0].1).0, ["A"]);
    book.remove("level");
    assert_eq!(held(&book, "A"), 0);
    assert_eq!(book.lacks(&rules[1].1).1, ["A"]);
}

fn turn_ids(turns: &[Turn]) -> Vec<Arc<str>> {
    turns.iter().map(|turn| Arc::clone(&turn.rule)).collect()
}

#[test]
fn a_future_observation_is_looked_at_once_its_date_is_reached() {
    let mut book = Book::default();
    let rules = [("r".to_owned(), watched(&Naive::Gt(5).condition()).unwrap())];
    book = {
        let _ = book;
        made_anew(&rules, &Series::new(), &Series::new())
    };
    let points = |date: u64, value: i64, reached: u64| Points {
        points: vec![(
            day(date),
            Future {
                known_from: at(1),
                value: Some(value.into()),
            },
        )],
        reached: Some(day(reached)),
    };
    assert!(book.observe("A", &points(9, 7, 2), day(0)).is_empty());
    assert!(book.observe("A", &points(3, 1, 4), day(0)).is_empty());
    let turns = book.observe("A", &points(8, 2, 10), day(0));
    assert_eq!(turn_ids(&turns), ["r".into()]);
    assert_eq!(turns[0].date, day(9));
}
