"""The torch inside of diffrep: no scikit-learn here.

Rooms, each importing only from those before it:

``device``
    choice of the device, seeds and generators
``sde``
    noise processes VE, VP, sub-VP: alpha(t), sigma(t), drift, diffusion
``time_sampling``
    densities from which training draws t, each given by its quantiles
``preconditioning``
    what the score network is shown, what it is asked for, how x0 is read off
``layers``
    linear, convolution, time embedding and residual blocks with a seeded start
``encoders``, ``score_networks``
    the networks
``augment``
    random views of a batch
``objectives``
    per-row losses and the record that names their parts
``models``
    one ``nn.Module`` per method: noise, encoder, score network, objective
``optimizers``
    AdamW and SGD that keep averages of the weights
``rows``
    rows in their own dtype that become standardised float32 batches
``checkpoint``
    states of a training in files
``loop``
    the loop over epochs, that goes back or on
``training``
    the skorch net that trains a model
"""
