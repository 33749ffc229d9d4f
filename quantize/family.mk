# The shipped models, from films to files. Each is one command, and goes on where it stopped:
#
#     make -f quantize/family.mk lungs DATA=FOLDER        also lungs-nano, lungs-large, or all three
#
# FOLDER holds the sets `paediatric`, `adult`, `adult-v7`, `adult-visible/*`, `unlabelled` and `visible-lung`; the last and
# `adult-visible/montgomery` are only scored. Runs, models and reports go to
# RUNS. REJECT names folders of pictures that the gate should reject (that of scikit-image's `data_dir`, say), NEGATIVES
# those it learns that from, by kind in subfolders or an index.csv (file, kind, source). It needs
# `pip install '.[train,report]'`; on two cores a model takes some hours.
DATA ?= data
RUNS ?= runs
REJECT ?=
NEGATIVES ?= $(wildcard $(DATA)/gate/other)
FILMS := $(DATA)/paediatric $(DATA)/adult
ADULTS := $(DATA)/adult-v7 $(addprefix $(DATA)/adult-visible/,shenzhen jsrt wingspan)
SCORED := $(FILMS) $(ADULTS) $(DATA)/adult-visible/montgomery $(DATA)/visible-lung phantom
HOUSE := $(dir $(lastword $(MAKEFILE_LIST)))

TRAIN := edge-seg train $(FILMS) --picture-every 0
QUANTIZE := edge-seg quantize --epochs 1 --films-per-epoch 2400 --learning-rate 1.5e-4 --validation-films 40 --about $(HOUSE)about/lungs.json --licence $(HOUSE)../LICENSE \
	$(addprefix --gate-negatives ,$(NEGATIVES))
SCORE := edge-seg benchmark $(addprefix --data ,$(SCORED)) $(addprefix --should-reject ,$(REJECT)) --write-scores
# Less of the changes that blur what an outline is: for the last epochs.
LIGHTLY := $(addprefix --augmentation ,bend=0.006 tone=0.3 equalisation=0.1 resolution=0.1 compression=0.1 tubes=0.1)
# From children to adults: more adults than children, visible lungs as labels of what they follow from, and a heart.
# A GPU with sixteen cores needs half an hour for all of it; WORKERS are the processes that augment films for the first part.
WORKERS ?= 5
ADULT := edge-seg train $(FILMS) $(ADULTS) --picture-every 0 --batch-size 32 --averaging 0.998 --augmentation opacity=0.2 \
	--validation-films 120 --workers $(WORKERS)
STUDENT := $(ADULT) $(DATA)/unlabelled --films-per-epoch 12800 --epochs 13 --learning-rate 1.5e-3 --distill $(RUNS)/great \
	$(addprefix --share ,adult=14 adult-v7=18 shenzhen=14 jsrt=11 wingspan=9 paediatric=9 unlabelled=25)

# Then more films, augmented on the GPU: a larger teacher again, and two of the three taught by it.
FURTHER := edge-seg train $(FILMS) $(ADULTS) --picture-every 0 --batch-size 64 --augmentation opacity=0.3 \
	--validation-films 240 --learning-rate 1.5e-3 --augment-on accelerator
TAUGHT := $(FURTHER) $(DATA)/unlabelled --films-per-epoch 25600 --averaging 0.999 --distill $(RUNS)/greater \
	$(addprefix --share ,adult=14 adult-v7=18 shenzhen=15 jsrt=12 wingspan=10 paediatric=9 unlabelled=22)

# Six networks like `lungs` go on from two that never saw half of the patients, each without a sixth of those; of each film
# those teach that did not see it, of a film that nobody outlined all six.
FOLDS := 0 1 2 3 4 5
FOLDED := $(addsuffix /.done,$(addprefix $(RUNS)/fold-,$(FOLDS)))
FOLD := $(FURTHER) --network lungs --size 224 --films-per-epoch 14500 --epochs 10 --averaging 0.998 --learning-rate 2e-3 \
	$(addprefix --share ,adult=8 adult-v7=26 shenzhen=20 jsrt=14 wingspan=14 paediatric=18)
UNSEEN := $(FURTHER) $(DATA)/unlabelled --films-per-epoch 28200 --epochs 20 --averaging 0.999 \
	$(addprefix --distill $(RUNS)/fold-,$(FOLDS)) \
	$(addprefix --share ,adult=7 adult-v7=22 shenzhen=16 jsrt=12 wingspan=11 paediatric=14 unlabelled=18)

# Two networks like `lungs`, each trained from nothing without half of the patients: on the films of those, the estimates
# of Dice are calibrated.
CROSSED := edge-seg train $(FILMS) $(ADULTS) --picture-every 0 --network lungs --averaging 0.998 --films-per-epoch 2400 \
	--validation-films 120 --augmentation opacity=0.2 \
	$(addprefix --share ,adult=8 adult-v7=26 shenzhen=20 jsrt=14 wingspan=12 paediatric=20)

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
	$(QUANTIZE) $(<D) --out $@

# It teaches all three the heart, which nobody outlined on the children's films.
$(RUNS)/plain-taught/.done: $(RUNS)/plain-mean/.done $(RUNS)/teacher.tflite
	$(TRAIN) --from $(<D) --teacher $(RUNS)/teacher.tflite $(LIGHTLY) --epochs 14 --films-per-epoch 2400 \
		--learning-rate 1e-3 --balance 0.3 --validation-films 120 --out $(@D)
	touch $@
$(RUNS)/large-mean/.done: $(RUNS)/plain-mean/.done $(RUNS)/plain-taught/.done
	python -m edge_seg_train.averaging $(^D) --out $(@D)
	touch $@
# A larger network learns from the outlines alone, and all three learn from outlines and from it.
$(RUNS)/great/.done:
	$(ADULT) --network plain --base 32 --widest 256 --size 256 --epochs 9 --films-per-epoch 6400 --learning-rate 2e-3 \
		$(addprefix --share ,adult=18 adult-v7=24 shenzhen=20 jsrt=14 wingspan=12 paediatric=12) --out $(@D)
	touch $@
$(RUNS)/greater/.done: $(RUNS)/great/.done
	$(FURTHER) --from $(<D) --size 288 --epochs 14 --films-per-epoch 12800 --averaging 0.998 --seed 1 \
		$(addprefix --share ,adult=18 adult-v7=24 shenzhen=20 jsrt=14 wingspan=12 paediatric=12) --out $(@D)
	touch $@
$(RUNS)/large-adult/.done: $(RUNS)/large-mean/.done $(RUNS)/great/.done
	$(STUDENT) --from $(<D) --network lungs-large --out $(@D)
	touch $@
$(RUNS)/large-unseen/.done: $(RUNS)/large-adult/.done $(FOLDED)
	$(UNSEEN) --from $(<D) --network lungs-large --distill-weight 2 --seed 4 --out $(@D)
	touch $@
$(RUNS)/lungs-large/.done: $(RUNS)/large-adult/.done $(RUNS)/large-unseen/.done
	python -m edge_seg_train.averaging $(^D) --out $(@D)
	touch $@
$(RUNS)/lungs-large.tflite: $(RUNS)/lungs-large/.done
	$(QUANTIZE) $(<D) --out $@

$(RUNS)/link-small/.done:
	$(TRAIN) --network lungs --size 128x160 --epochs 20 --films-per-epoch 2400 --balance 0.25 --validation-films 120 \
		--out $(@D)
	touch $@
$(RUNS)/link/.done: $(RUNS)/link-small/.done
	$(TRAIN) --from $(<D) --network lungs --size 192x224 --epochs 40 --films-per-epoch 2400 --learning-rate 1.5e-3 \
		--balance 0.25 --validation-films 120 --out $(@D)
	touch $@
$(RUNS)/link-taught/.done: $(RUNS)/link/.done $(RUNS)/teacher.tflite
	$(TRAIN) --from $(<D) --teacher $(RUNS)/teacher.tflite $(LIGHTLY) --epochs 7 --films-per-epoch 2400 \
		--learning-rate 1e-3 --balance 0.3 --validation-films 120 --out $(@D)
	touch $@
$(RUNS)/link-adult/.done: $(RUNS)/link-taught/.done $(RUNS)/great/.done
	$(STUDENT) --from $(<D) --network lungs --out $(@D)
	touch $@
$(RUNS)/link-further/.done: $(RUNS)/link-adult/.done $(RUNS)/greater/.done
	$(TAUGHT) --from $(<D) --network lungs --epochs 15 --out $(@D)
	touch $@
$(RUNS)/lungs/.done: $(RUNS)/link-adult/.done $(RUNS)/link-further/.done
	python -m edge_seg_train.averaging $(^D) --out $(@D)
	touch $@
$(RUNS)/half-%-small/.done:
	$(CROSSED) --hold-out $*/2 --size 128x160 --epochs 12 --out $(@D)
	touch $@
$(RUNS)/half-%/.done: $(RUNS)/half-%-small/.done
	$(CROSSED) --hold-out $*/2 --size 192x224 --epochs 14 --learning-rate 1.5e-3 --from $(<D) --out $(@D)
	touch $@
$(addprefix $(RUNS)/fold-,0/.done 1/.done 2/.done): $(RUNS)/half-0/.done
$(addprefix $(RUNS)/fold-,3/.done 4/.done 5/.done): $(RUNS)/half-1/.done
$(RUNS)/fold-%/.done:
	$(FOLD) --from $(<D) --hold-out $*/6 --seed 10$* --out $(@D)
	touch $@
$(RUNS)/half-%.tflite: $(RUNS)/half-%/.done
	edge-seg quantize $(<D) --float-only --out $@
$(RUNS)/lungs.tflite: $(RUNS)/lungs/.done $(RUNS)/half-0.tflite $(RUNS)/half-1.tflite
	$(QUANTIZE) $(<D) --out $@
	python -m edge_seg_quantize.calibration $@ $(FILMS) $(ADULTS) $(addprefix --cross-fitted ,$(wordlist 2,3,$^))

$(RUNS)/nano/.done: $(RUNS)/teacher.tflite
	$(TRAIN) --network lungs-nano --size 160x192 --teacher $< --epochs 30 --films-per-epoch 2400 --learning-rate 3e-3 \
		--balance 0.25 --validation-films 120 --out $(@D)
	touch $@
$(RUNS)/nano-adult/.done: $(RUNS)/nano/.done $(RUNS)/great/.done
	$(STUDENT) --from $(<D) --network lungs-nano --out $(@D)
	touch $@
$(RUNS)/nano-further/.done: $(RUNS)/nano-adult/.done $(RUNS)/greater/.done
	$(TAUGHT) --from $(<D) --network lungs-nano --epochs 18 --out $(@D)
	touch $@
$(RUNS)/nano-unseen/.done: $(RUNS)/nano-further/.done $(FOLDED)
	$(UNSEEN) --from $(<D) --network lungs-nano --distill-weight 2 --seed 3 --out $(@D)
	touch $@
$(RUNS)/lungs-nano/.done: $(RUNS)/nano-further/.done $(RUNS)/nano-unseen/.done
	python -m edge_seg_train.averaging $(^D) --out $(@D)
	touch $@
$(RUNS)/lungs-nano.tflite: $(RUNS)/lungs-nano/.done
	$(QUANTIZE) --learning-rate 5e-5 $(<D) --out $@
