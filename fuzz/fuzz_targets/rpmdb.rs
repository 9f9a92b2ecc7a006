//! A database and its write-ahead log: the first two bytes say where one ends and the other begins.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    let cut = usize::from(u16::from_le_bytes(cut)).min(bytes.len());
    let (wal, main) = bytes.split_at(cut);
    let _ = plimsoll::rpm::read(main, Some(wal));
});
