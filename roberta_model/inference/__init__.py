"""Using a model: a folder opened, and what its head can do with texts.

    folder ──▶ weights, tokenizer ──▶ LoadedModel ──▶ fill_mask, score, embed,
                                                        classify, tag, answer

Here alone in `roberta_model` the tokenizers library is imported: whoever uses a model has text,
and what trains one has rows of ids. `roberta_model.load` is the way in.
"""
