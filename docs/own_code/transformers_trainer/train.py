"""The trainer as a function: `tune-app run space.yaml` in this folder tunes it."""

import sentences
from transformers import Trainer, TrainingArguments

from tune_app.transformers import TuneCallback


def tune(config, report):
    callback = TuneCallback(report, metrics={"val_loss": "eval_loss"})
    arguments = TrainingArguments(**callback.training_arguments, learning_rate=config["lr"])
    training, validation, test = sentences.load()
    model = sentences.model(config["layers"], config["width"], config["dropout"])
    trainer = Trainer(model, arguments, train_dataset=training, eval_dataset=validation, callbacks=[callback])
    trainer.train(resume_from_checkpoint=callback.resume_path)
    return {"test_loss": trainer.evaluate(test)["eval_loss"]} if report.final else None
