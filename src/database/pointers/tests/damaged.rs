//! A database with damaged pages. Rows on its other pages count.

use std::fs;

use super::*;

/// Enough libraries for their rows to fill many pages.
const LIBRARIES: u32 = 3_000;

fn library(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

fn commit(number: u32) -> String {
    format!("{number:040x}")
}

fn database() -> Database {
    let mut sql = SCHEMA.replace("Repo (repo_id)", "Repo (repo_id PRIMARY KEY)");
    for number in 1..=LIBRARIES {
        let (library, commit) = (library(number), commit(number));
        write!(
            sql,
            "INSERT INTO Repo VALUES ('{library}'); INSERT INTO Branch VALUES ('master', '{library}', '{commit}');"
        )
        .unwrap();
    }
    Database::new(&sql)
}

/// Overwrites each page that contains `text`. Returns their number.
#[expect(clippy::disallowed_methods, reason = "tests need no durable files")]
fn damage(database: &Database, text: &str) -> usize {
    let mut bytes = fs::read(database.file()).unwrap();
    let page_bytes = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let has = |page: &[u8]| page.windows(text.len()).any(|part| part == text.as_bytes());
    let mut damaged = 0;
    for page in bytes.chunks_mut(page_bytes).filter(|page| has(page)) {
        page.fill(0x55);
        damaged += 1;
    }
    fs::write(database.file(), bytes).unwrap();
    damaged
}

fn unreadable(pointers: &Pointers) -> Vec<&str> {
    let tables = pointers.oddities.iter().filter_map(|oddity| match oddity {
        Oddity::UnreadableTable { table, .. } => Some(*table),
        _ => None,
    });
    tables.collect()
}

#[test]
fn heads_before_and_behind_a_damaged_page_count() {
    let database = database();
    assert_eq!(damage(&database, &commit(LIBRARIES / 2)), 1);
    let pointers = database.read();
    assert_eq!(unreadable(&pointers), ["Branch"]);
    // No library is lost, because the other table has them all.
    assert_eq!(pointers.libraries.len(), LIBRARIES as usize);
    let without = pointers.libraries.iter().filter(|one| one.heads.is_empty());
    let without = without.count();
    assert!((1..200).contains(&without), "{without}");
    for far in [1, LIBRARIES] {
        let heads = &pointers.library(id(&library(far))).unwrap().heads;
        assert_eq!(heads[..], [head(&commit(far))]);
    }
}

#[test]
fn libraries_on_a_damaged_page_count_by_their_branch() {
    let database = database();
    // The id is in the table, in its index and in the table of branches. Two tables are damaged.
    let pages = damage(&database, &library(LIBRARIES / 2));
    assert!(pages >= 3, "{pages}");
    let pointers = database.read();
    assert_eq!(unreadable(&pointers), ["Branch", "Repo"]);
    let lost = LIBRARIES as usize - pointers.libraries.len();
    assert!((1..200).contains(&lost), "{lost}");
}

#[test]
fn an_index_that_is_damaged_loses_nothing() {
    let database = database();
    let db = Connection::open(database.file()).unwrap();
    let root: u32 = db
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_Repo_1'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(db);
    let root = root as usize;
    let mut bytes = fs::read(database.file()).unwrap();
    let page_bytes = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    bytes[(root - 1) * page_bytes..root * page_bytes].fill(0x55);
    #[expect(clippy::disallowed_methods, reason = "tests need no durable files")]
    fs::write(database.file(), bytes).unwrap();
    let pointers = database.read();
    assert_eq!(unreadable(&pointers), Vec::<&str>::new());
    assert_eq!(pointers.libraries.len(), LIBRARIES as usize);
}
