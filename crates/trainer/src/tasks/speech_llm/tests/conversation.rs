//! Chats token by token. The tokenizer of the golden files has a token a byte, so that all can be
//! written by hand.

use model_zoo::llama::Llama;
use model_zoo::{LoadOptions, Tokenizer};

use super::super::conversation::{ChatFormat, Conversation};
use super::fixture::golden_dir;

/// A format whose tokenizer has `marks` in place of the headers of Llama 3.1 and of its end of a turn.
fn format(marks: [&str; 3], system: &str) -> ChatFormat {
    let dir = golden_dir().join("llm");
    let llm = Llama::open(&dir, LoadOptions::default()).unwrap();
    let mut text = std::fs::read_to_string(dir.join("tokenizer.json")).unwrap();
    let known = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
    for (known, mark) in known.iter().zip(marks) {
        text = text.replace(known, mark);
    }
    let tokenizer = Tokenizer::from_bytes(text.as_bytes()).unwrap();
    ChatFormat::new(tokenizer, &llm, system).unwrap()
}

/// Tokens of `parts`: special ones by name, text byte by byte.
fn tokens(chat: &ChatFormat, parts: &[&str]) -> Vec<u32> {
    let tokenizer = &chat.tokenizer;
    let mut ids = Vec::new();
    for part in parts {
        match part.starts_with("<|") {
            true => ids.push(tokenizer.token_to_id(part).unwrap()),
            false => {
                let own = tokenizer.encode(part, false).unwrap();
                assert_eq!(own.len(), part.len(), "a token a byte");
                ids.extend(own);
            }
        }
    }
    ids
}

#[track_caller]
fn check(chat: &ChatFormat, before: &[&str], question: &[&str], end: &str) {
    let got = chat.conversation(" What is said? ", "Go home.\n").unwrap();
    let expected = Conversation {
        before: tokens(chat, before),
        question: tokens(chat, question),
        answer: tokens(chat, &["Go home.", end]),
    };
    assert_eq!(got, expected);
    let count = expected.before.len() + expected.question.len() + expected.answer.len();
    assert_eq!(got.tokens(), count);
}

#[test]
fn headers_are_those_of_llama_3_1() {
    let marks = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
    let [open, close, end] = marks;
    let user = [open, "user", close, "\n\n"];
    let question = ["\nWhat is said?", end, open, "assistant", close, "\n\n"];
    let system = ["<|begin_of_text|>", open, "system", close, "\n\nBe kind.", end];
    check(&format(marks, " Be kind.\n"), &[&system[..], &user].concat(), &question, end);
    check(&format(marks, ""), &[&["<|begin_of_text|>"][..], &user].concat(), &question, end);
}

#[test]
fn chat_ml_marks_where_turns_begin_and_end() {
    let marks = ["<|im_start|>", "<|other|>", "<|im_end|>"];
    let [open, _, end] = marks;
    let user = [open, "user\n"];
    let question = ["\nWhat is said?", end, "\n", open, "assistant\n"];
    let system = [open, "system\nBe kind.", end, "\n"];
    check(&format(marks, "Be kind."), &[&system[..], &user].concat(), &question, end);
    check(&format(marks, ""), &user, &question, end);
}

#[test]
fn a_model_that_does_not_chat_reads_lines() {
    let marks = ["<|a|>", "<|b|>", "<|c|>"];
    let question = ["\nWhat is said?\n"];
    let chat = format(marks, "Be kind.");
    check(&chat, &["<|begin_of_text|>", "Be kind.\n"], &question, "\n");
    check(&format(marks, "  "), &["<|begin_of_text|>"], &question, "\n");
    assert_eq!((chat.start, vec![chat.end]), (256, tokens(&chat, &["\n"])));
}

#[test]
fn an_answer_without_words_is_refused() {
    let chat = format(["<|a|>", "<|b|>", "<|c|>"], "");
    let error = chat.conversation("What?", " \n").unwrap_err().to_string();
    assert_eq!(error, "answer is empty, expected a text");
}
