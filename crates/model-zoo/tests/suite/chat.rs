//! The chat format of Llama-3.1-Instruct on a tokenizer of a few words.

use model_zoo::Tokenizer;
use model_zoo::llama::{AUDIO, Message, PromptPart, Role, chat_ids};

use crate::common::noise;

/// Words at white space, line breaks as words; `without` leaves out one special token.
fn tokenizer(without: &str) -> Tokenizer {
    let special = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
    let words =
        ["\n\n", "\n", "system", "user", "assistant", "hello", "what", "is", "this", "a", "test"];
    let vocab: serde_json::Map<String, serde_json::Value> = special
        .iter()
        .chain(&words)
        .enumerate()
        .filter(|(_, token)| **token != without)
        .map(|(id, token)| ((*token).to_owned(), id.into()))
        .collect();
    let added: Vec<serde_json::Value> = special
        .iter()
        .enumerate()
        .filter(|(_, token)| **token != without)
        .map(|(id, token)| {
            serde_json::json!({"id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let file = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\n+|[a-z]+"},
            "behavior": "Removed", "invert": true},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "\n"}
    });
    Tokenizer::from_bytes(file.to_string().as_bytes()).unwrap()
}

#[test]
fn messages_become_headers_texts_and_ends() {
    let tokenizer = tokenizer("");
    let messages = [
        Message::new(Role::System, " hello \n"),
        Message::new(Role::User, "what is this"),
        Message::new(Role::Assistant, "a test"),
    ];
    let chat = chat_ids(&tokenizer, &messages, true).unwrap();
    let (start, end, eot, gap) = (1, 2, 3, 4);
    assert_eq!(
        chat.input_ids,
        [
            &[0][..],
            &[start, 6, end, gap, 9, eot],
            &[start, 7, end, gap, 10, 11, 12, eot],
            &[start, 8, end, gap, 13, 14, eot],
            &[start, 8, end, gap],
        ]
        .concat()
    );
    assert_eq!(chat.answers.len(), 1);
    assert_eq!(chat.input_ids[chat.answers[0].clone()], [13, 14, eot]);
    assert!(chat.audio_positions.is_empty());
    let trained = chat_ids(&tokenizer, &messages, false).unwrap();
    assert_eq!(trained.input_ids[..], chat.input_ids[..22]);
}

#[test]
fn speech_stands_in_front_of_its_message_and_is_no_token() {
    let tokenizer = tokenizer("");
    let front = Message::new(Role::User, format!("{AUDIO}\nwhat is this"));
    let behind = Message::new(Role::User, format!("what is this {AUDIO}"));
    let chat = chat_ids(&tokenizer, &[front], true).unwrap();
    assert_eq!(chat_ids(&tokenizer, &[behind], true).unwrap(), chat);
    assert_eq!(chat.audio_positions, [5]);
    assert_eq!(chat.input_ids, [0, 1, 7, 2, 4, 5, 10, 11, 12, 3, 1, 8, 2, 4]);

    let parts = chat.parts(&[noise(&[3, 2], 1)]).unwrap();
    let lengths: Vec<usize> = parts.iter().map(PromptPart::len).collect();
    assert_eq!(lengths, [5, 3, 9]);
    assert_eq!(
        chat.parts(&[]).unwrap_err().to_string(),
        "chat: 0 recordings, expected 1 as places for them (hint: write <audio> where speech \
         belongs)"
    );
}

#[test]
fn a_tokenizer_of_another_family_is_refused() {
    let text = chat_ids(&tokenizer("<|eot_id|>"), &[], true).unwrap_err().to_string();
    assert_eq!(
        text,
        "chat: no token `<|eot_id|>`, expected one for the chat format (hint: the format is that \
         of Llama-3.1-Instruct)"
    );
}

#[test]
fn a_tokenizer_larger_than_its_model_is_named() {
    let tokenizer = tokenizer("");
    tokenizer.expect_within(15).unwrap();
    assert_eq!(
        tokenizer.expect_within(14).unwrap_err().to_string(),
        "tokenizer: largest id is 14, expected below vocab_size 14 (hint: do tokenizer.json and \
         config.json belong to the same model)"
    );
}
