# The shipped models, from films to files. Each is one command, and goes on where it stopped:
#
#     make -f quantize/family.mk lungs DATA=FOLDER        also lungs-nano, lungs-large, or all three
#
# FOLDER holds the sets `paediatric`, `adult` and `visible-lung`; the last is only scored. Runs, models and reports go to
# RUNS. REJECT names folders of pictures that the gate should reject (that of scikit-image's `data_dir`, say). It needs
# `pip install '.[train,report]'`; on two cores a model takes some hours.
DATA ?= data
RUNS ?= runs
REJECT ?=
FILMS := $(DATA)/paediatric $(DATA)/adult
HOUSE := $(dir $(lastword $(MAKEFILE_LIST)))

TRAIN := edge-seg train $(FILMS) --picture-every 0
QUANTIZE := edge-seg quantize --films-per-epoch 1200 --learning-rate 1e-4 --about $(HOUSE)about/lungs.json --licence $(HOUSE)../LICENSE
SCORE := edge-seg benchmark --data $(DATA)/paediatric --data $(DATA)/adult --data $(DATA)/visible-lung --data phantom \
	--robustness 24 $(addprefix --should-reject ,$(REJECT)) --write-scores
# Less of the changes that blur what an outline is: for the last epochs.
LIGHTLY := $(addprefix --augmentation ,bend=0.006 tone=0.3 equalisation=0.1 resolution=0.1 compression=0.1 tubes=0.1)

.PHONY: all lungs-nano lungs lungs-large
.SECONDARY:
all: lungs-nano lungs lungs-large
lungs-nano lungs lungs-large: %: $(RUNS)/%.tflite
	$(SCORE) $(RUNS)/$*.float32.tflite $(RUNS)/$*.ptq.tflite $(RUNS)/$*.tflite --out $(RUNS)/$*-report

# First small, then at full size, which costs half of the time; what is quantised is the mean of both.
$(RUNS)/plain-small/.done:
	$(TRAIN) --network lungs-large --size 192 --epochs 30 --films-per-epoch 1200 --learning-rate 2e-3 --balance 0.35 \
		--validation-films 100 --out $(@D)
	touch $@
$(RUNS)/plain/.done: $(RUNS)/plain-small/.done
	$(TRAIN) --from $(<D) --network lungs-large --epochs 20 --films-per-epoch 2400 --batch-size 8 --learning-rate 1e-3 \
		--balance 0.35 --validation-films 200 --out $(@D)
	touch $@
$(RUNS)/plain-mean/.done: $(RUNS)/plain-small/.done $(RUNS)/plain/.done
	python -m edge_seg_train.averaging $(^D) --out $(@D)
	touch $@
$(RUNS)/teacher.tflite: $(RUNS)/plain-mean/.done
	$(QUANTIZE) $(<D) --epochs 1 --out $@

# It teaches all three the heart, which nobody outlined on the children's films.
$(RUNS)/plain-taught/.done: $(RUNS)/plain-mean/.done $(RUNS)/teacher.tflite
	$(TRAIN) --from $(<D) --teacher $(RUNS)/teacher.tflite $(LIGHTLY) --epochs 14 --films-per-epoch 2400 \
		--learning-rate 1e-3 --balance 0.3 --validation-films 120 --out $(@D)
	touch $@
$(RUNS)/large-mean/.done: $(RUNS)/plain-mean/.done $(RUNS)/plain-taught/.done
	python -m edge_seg_train.averaging $(^D) --out $(@D)
	touch $@
$(RUNS)/lungs-large.tflite: $(RUNS)/large-mean/.done
	$(QUANTIZE) $(<D) --epochs 1 --out $@

$(RUNS)/link-small/.done:
	$(TRAIN) --network lungs --size 128x160 --epochs 20 --films-per-epoch 2400 --balance 0.25 --validation-films 120 \
		--out $(@D)
	touch $@
$(RUNS)/link/.done: $(RUNS)/link-small/.done
	$(TRAIN) --from $(<D) --network lungs --epochs 40 --films-per-epoch 2400 --learning-rate 1.5e-3 --balance 0.25 \
		--validation-films 120 --out $(@D)
	touch $@
$(RUNS)/link-taught/.done: $(RUNS)/link/.done $(RUNS)/teacher.tflite
	$(TRAIN) --from $(<D) --teacher $(RUNS)/teacher.tflite $(LIGHTLY) --epochs 7 --films-per-epoch 2400 \
		--learning-rate 1e-3 --balance 0.3 --validation-films 120 --out $(@D)
	touch $@
$(RUNS)/lungs.tflite: $(RUNS)/link-taught/.done
	$(QUANTIZE) $(<D) --epochs 1 --out $@

$(RUNS)/nano/.done: $(RUNS)/teacher.tflite
	$(TRAIN) --network lungs-nano --teacher $< --epochs 30 --films-per-epoch 2400 --learning-rate 3e-3 --balance 0.25 \
		--validation-films 120 --out $(@D)
	touch $@
$(RUNS)/lungs-nano.tflite: $(RUNS)/nano/.done
	$(QUANTIZE) $(<D) --epochs 2 --out $@
