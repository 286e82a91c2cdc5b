//! Cost of a fingerprint (lexed, written, hashed; nothing cached), of its hash alone, and of
//! facts, new and cached.

use divan::{Bencher, black_box};
use statement::{Analyzer, Dialect, Facts, Normalizer, redact_secrets};

fn main() {
    divan::main();
}

const NAMES: [&str; 4] = ["100 bytes", "250 bytes, names quoted", "list of 20", "tagged"];

fn statement(name: &str) -> &'static str {
    match name {
        "100 bytes" => {
            "SELECT id, email, created_at FROM users WHERE tenant_id = 42 AND status = 'active' \
             ORDER BY id LIMIT 10"
        }
        "250 bytes, names quoted" => {
            r#"SELECT "orders"."id", "orders"."total", "orders"."placed_at", "customers"."email"
               FROM "orders" INNER JOIN "customers" ON "customers"."id" = "orders"."customer_id"
               WHERE "orders"."status" = $1 AND "orders"."total" > 100
               ORDER BY "orders"."id" DESC LIMIT 20"#
        }
        "list of 20" => {
            "SELECT a FROM t WHERE id IN (1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20)"
        }
        _ => "UPDATE t SET a = 'b' WHERE id = 7 /*traceparent='00-0000000000000000'*/",
    }
}

#[divan::bench(args = NAMES, sample_size = 1000)]
fn fingerprint(bencher: Bencher<'_, '_>, name: &str) {
    let sql = statement(name);
    let mut normalizer = Normalizer::default();
    bencher
        .counter(divan::counter::BytesCount::of_str(sql))
        .bench_local(|| normalizer.normalize(black_box(sql), Dialect::PostgreSql).fingerprint);
}

#[divan::bench(sample_size = 1000)]
fn hash_of_100_bytes(bencher: Bencher<'_, '_>) {
    let sql = statement("100 bytes");
    bencher.bench_local(|| blake3::hash(black_box(sql.as_bytes())));
}

#[divan::bench(sample_size = 1000)]
fn analysis_with_known_facts(bencher: Bencher<'_, '_>) {
    let sql = statement("100 bytes");
    let mut analyzer = Analyzer::new(16);
    bencher.bench_local(|| analyzer.analyze(black_box(sql), Dialect::PostgreSql));
}

#[divan::bench]
fn facts(bencher: Bencher<'_, '_>) {
    let sql = statement("100 bytes");
    bencher.bench_local(|| Facts::of(black_box(sql), Dialect::PostgreSql));
}

#[divan::bench(sample_size = 1000)]
fn nothing_to_redact(bencher: Bencher<'_, '_>) {
    let sql = statement("100 bytes");
    bencher.bench_local(|| redact_secrets(black_box(sql), Dialect::PostgreSql).len());
}

#[divan::bench(sample_size = 1000)]
fn command(bencher: Bencher<'_, '_>) {
    let sql = statement("100 bytes");
    bencher.bench_local(|| statement::Command::of(black_box(sql), Dialect::PostgreSql));
}
